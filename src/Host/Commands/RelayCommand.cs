using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using ByteStreams;
using StreamsHost.Configuration;

namespace StreamsHost.Commands;

/// <summary>Runs one relay without a configuration file: its arguments stand for the keys of one endpoint.</summary>
internal sealed class RelayCommand : HostSubcommand
{
    private const string Endpoint = "ByteStreams:Endpoints:relay:";
    private const string Admin = "Admin:Url";

    private readonly Argument<string> _listen = new("LISTEN")
    {
        Description = "The URL to listen on: tls://host:port, tcp://host:port, unix:/path or unix:@name. Without a host, or with *, all interfaces.",
    };

    private readonly Argument<string[]> _upstreams = new("UPSTREAM")
    {
        Description = "The upstreams: tcp://host:port, tls://host:port, unix:/path or unix:@name.",
        Arity = ArgumentArity.OneOrMore,
    };

    private readonly Option<bool> _print = new("--print-config")
    {
        Description = "Print the configuration file that the arguments stand for, for streamshost --config, and exit.",
    };

    private readonly KeyOption _certificate = new("--cert", "FILE", "Tls:Certificates:0:Path", "The certificate of LISTEN, with its intermediates: PEM or PFX.") { IsFile = true };
    private readonly KeyOption _key = new("--key", "FILE", "Tls:Certificates:0:KeyPath", "The certificate's private key (PEM), if it is a separate file.") { IsFile = true };
    private readonly KeyOption _clientCa = new("--client-ca", "FILE", "Tls:ClientCaPath", "Require client certificates, issued by these authorities (PEM).") { IsFile = true };
    private readonly KeyOption _allowDns = new("--allow-dns", "NAME", "Tls:AllowedDnsNames:", "A host name that a client certificate may have. Can be repeated.");
    private readonly KeyOption _allowUri = new("--allow-uri", "URI", "Tls:AllowedUris:", "A URI that a client certificate may have, such as a SPIFFE ID; a trailing * matches the rest. Can be repeated.");
    private readonly KeyOption _ca = new("--ca", "FILE", "Relay:Tls:CaPath", "The authorities (PEM) to trust for tls:// upstreams, instead of the system's.") { IsFile = true };
    private readonly KeyOption _upstreamCertificate = new("--upstream-cert", "FILE", "Relay:Tls:Certificate:Path", "The client certificate for tls:// upstreams: PEM or PFX.") { IsFile = true };
    private readonly KeyOption _upstreamKey = new("--upstream-key", "FILE", "Relay:Tls:Certificate:KeyPath", "The client certificate's private key (PEM), if it is a separate file.") { IsFile = true };
    private readonly KeyOption _serverName = new("--server-name", "NAME", "Relay:Tls:ServerName", "The name that the certificates of tls:// upstreams must have, instead of the URL's host.");
    private readonly KeyOption _acceptProxy = new("--accept-proxy", "NETWORK", "ProxyProtocol:TrustedNetworks:", "A network whose connections begin with a PROXY header, such as 10.0.0.0/8. Can be repeated.");
    private readonly KeyOption _sendProxy = new("--send-proxy", "VERSION", "Relay:SendProxyHeader", "Send the client's address to upstreams in a PROXY header: V1 or V2.");
    private readonly KeyOption _maxConnections = new("--max-connections", "NUMBER", "Admission:MaxConnections", "The most connections at a time; more are rejected.");
    private readonly Option<string?> _admin = new("--admin-url")
    {
        HelpName = "URL",
        Description = "The URL of health checks, metrics and the status page, such as http://127.0.0.1:7000. None by default, so that several relays run on one machine.",
    };

    private readonly KeyOption[] _options;

    public RelayCommand(ConfigurationKeys keys)
        : base(
            "relay",
            "Runs one relay between TCP, TLS and Unix sockets until a signal stops it, without a configuration file.",
            "relay tls://:7443 unix:/run/app.sock --cert tls.crt --key tls.key",
            "relay tls://:7443 tcp://127.0.0.1:80 --cert tls.crt --key tls.key --client-ca ca.crt --allow-dns app.example",
            "relay unix:/run/db.sock tls://db1.example:5432 tls://db2.example:5432 --ca ca.crt",
            "relay tcp://127.0.0.1:8080 tcp://10.0.0.1:80 --ByteStreams:Endpoints:relay:Timeouts:ReceiveIdle=5m --print-config")
    {
        _options =
        [
            _certificate, _key, _clientCa, _allowDns, _allowUri, _ca, _upstreamCertificate, _upstreamKey, _serverName, _acceptProxy, _sendProxy, _maxConnections,
        ];
        _sendProxy.CompletionSources.Add("V1", "V2");
        Add(_listen);
        Add(_upstreams);
        foreach (Option option in (Option[])[.. _options, _admin, _print])
        {
            Add(option);
        }

        SetAction((parsed, cancellationToken) => RunAsync(parsed, keys, cancellationToken));
    }

    private async Task<int> RunAsync(ParseResult parsed, ConfigurationKeys keys, CancellationToken cancellationToken)
    {
        Require(parsed);
        // The caller's keys come last, and take precedence.
        string[] all = [.. Keys(parsed).Select(pair => $"--{pair.Key}={pair.Value}"), .. keys.Keys];
        if (parsed.GetValue(_print))
        {
            await parsed.InvocationConfiguration.Output.WriteLineAsync(IndentedJson.Write(json => Write(json, new ConfigurationBuilder().AddCommandLine(all).Build(), null)));
            return 0;
        }

        try
        {
            return await RunCommand.RunAsync(new HostArguments(null, all, WithoutFile: true), cancellationToken);
        }
        catch (EndpointConfigurationException invalid)
        {
            throw new EndpointConfigurationException([.. invalid.Errors.Select(InTermsOfArguments)]);
        }
    }

    /// <summary>Options that have no effect, or not the one that was meant, without others.</summary>
    private void Require(ParseResult parsed)
    {
        string listen = parsed.GetRequiredValue(_listen);
        if (IsTls(listen) && !IsGiven(_certificate))
        {
            throw new CommandException("--cert is missing: LISTEN uses TLS, which needs a certificate.");
        }

        bool isPlain = listen.StartsWith("tcp://", StringComparison.OrdinalIgnoreCase);
        Check(isPlain, [_certificate, _key, _clientCa, _allowDns, _allowUri], "needs TLS, which LISTEN does not use. Write tls://host:port.");
        Check(!IsGiven(_certificate), [_key, _clientCa], "needs --cert, the certificate of LISTEN.");
        Check(!IsGiven(_clientCa), [_allowDns, _allowUri], "needs --client-ca, the authorities that issue client certificates.");
        Check(
            !parsed.GetRequiredValue(_upstreams).Any(IsTls),
            [_ca, _upstreamCertificate, _upstreamKey, _serverName],
            "needs a tls:// upstream.");
        Check(!IsGiven(_upstreamCertificate), [_upstreamKey], "needs --upstream-cert, the certificate that it belongs to.");

        static bool IsTls(string url) => url.StartsWith("tls://", StringComparison.OrdinalIgnoreCase);

        bool IsGiven(Option option) => parsed.GetResult(option) is not null;

        void Check(bool isMissing, Option[] options, string need)
        {
            if (isMissing && options.FirstOrDefault(IsGiven) is Option idle)
            {
                throw new CommandException($"{idle.Name} {need}");
            }
        }
    }

    private IEnumerable<KeyValuePair<string, string>> Keys(ParseResult parsed)
    {
        yield return new($"{Endpoint}Url", Normalize(parsed.GetRequiredValue(_listen)));
        yield return new($"{Endpoint}Handler", "relay");
        foreach ((int i, string upstream) in parsed.GetRequiredValue(_upstreams).Index())
        {
            yield return new($"{Endpoint}Relay:Upstreams:{i}", Normalize(upstream));
        }

        foreach (KeyOption option in _options)
        {
            foreach (KeyValuePair<string, string> key in option.Keys(parsed))
            {
                yield return new(Endpoint + key.Key, key.Value);
            }
        }

        if (parsed.GetResult(_clientCa) is not null)
        {
            yield return new($"{Endpoint}Tls:ClientCertificates", "Require");
        }

        yield return parsed.GetValue(_admin) is string admin ? new(Admin, admin) : new("Admin:Enabled", "false");
    }

    /// <summary><c>tls://:7443</c> is <c>tls://*:7443</c>, and a socket's path starts in the current folder.</summary>
    private static string Normalize(string url)
    {
        const string unix = "unix:";
        return url.StartsWith(unix, StringComparison.OrdinalIgnoreCase) && url.Length > unix.Length && url[unix.Length] is not ('@' or '{')
            ? unix + Path.GetFullPath(url[unix.Length..])
            : url.Replace("://:", "://*:", StringComparison.Ordinal);
    }

    /// <summary>An error of a key that an argument stands for names the argument.</summary>
    private string InTermsOfArguments(string error)
    {
        (string Key, string Argument)[] arguments =
        [
            .. _options.Select(option => (Endpoint + option.Key.TrimEnd(':'), option.Name)),
            ($"{Endpoint}Tls:Certificates:0", _certificate.Name),
            ($"{Endpoint}Relay:Upstreams", _upstreams.Name),
            ($"{Endpoint}Url", _listen.Name),
            (Admin, _admin.Name),
        ];
        foreach ((string key, string argument) in arguments)
        {
            // MaxConnectionsPerClient is not MaxConnections.
            if (error.StartsWith($"{key}:", StringComparison.OrdinalIgnoreCase) && error.IndexOf(": ", key.Length, StringComparison.Ordinal) is >= 0 and int end)
            {
                return argument + error[end..];
            }
        }

        return error;
    }

    private static void Write(Utf8JsonWriter json, IConfiguration section, string? value)
    {
        IConfigurationSection[] children = [.. section.GetChildren()];
        if (children.Length == 0)
        {
            WriteValue(json, value);
            return;
        }

        bool isList = children.Index().All(child => child.Item.Key == child.Index.ToString(CultureInfo.InvariantCulture));
        if (isList)
        {
            json.WriteStartArray();
        }
        else
        {
            json.WriteStartObject();
        }

        foreach (IConfigurationSection child in children)
        {
            if (!isList)
            {
                json.WritePropertyName(child.Key);
            }

            Write(json, child, child.Value);
        }

        if (isList)
        {
            json.WriteEndArray();
        }
        else
        {
            json.WriteEndObject();
        }
    }

    /// <summary>A number or a Boolean as such, as the schema has them; the configuration reads both forms.</summary>
    private static void WriteValue(Utf8JsonWriter json, string? value)
    {
        if (bool.TryParse(value, out bool flag))
        {
            json.WriteBooleanValue(flag);
        }
        else if (long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long number)
            && number.ToString(CultureInfo.InvariantCulture) == value)
        {
            json.WriteNumberValue(number);
        }
        else
        {
            json.WriteStringValue(value);
        }
    }

    /// <summary>An option that stands for a configuration key of the endpoint.</summary>
    private sealed class KeyOption : Option<string[]>
    {
        /// <param name="name">The option's name.</param>
        /// <param name="takes">What help calls its value.</param>
        /// <param name="key">The key within the endpoint; of a list, which has several values, with a colon at its end.</param>
        /// <param name="description">Its help.</param>
        public KeyOption(string name, string takes, string key, string description)
            : base(name)
        {
            HelpName = takes;
            Description = description;
            Key = key;
        }

        public string Key { get; }

        /// <summary>Whether the value is a path, which starts in the current folder.</summary>
        public bool IsFile { get; init; }

        private bool IsList => Key.EndsWith(':');

        public IEnumerable<KeyValuePair<string, string>> Keys(ParseResult parsed)
        {
            string[] values = parsed.GetValue(this) ?? [];
            if (!IsList && values.Length > 1)
            {
                throw new CommandException($"{Name} is given {values.Length} times, and takes one value.");
            }

            return values.Select((value, i) => new KeyValuePair<string, string>(
                IsList ? $"{Key}{i}" : Key, IsFile && value.Length > 0 ? Path.GetFullPath(value) : value));
        }
    }
}
