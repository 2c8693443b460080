using System.CommandLine;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using ByteStreams;
using ByteStreams.Transport.Addresses;

namespace StreamsHost.Commands;

/// <summary>Where a client connects to, and how: the arguments that <c>connect</c> and <c>bench</c> have in common.</summary>
internal sealed class ClientArguments
{
    private readonly Argument<string> _url = new("URL") { Description = "tcp://host:port, tls://host:port, unix:/path or unix:@name." };
    private readonly Option<bool> _tls = new("--tls") { Description = "Speak TLS, also to a unix: or tcp: URL." };
    private readonly Option<string?> _ca = Text("--ca", "FILE", "The authorities (PEM) that the server's certificate must come from, in place of the system's.");
    private readonly Option<string?> _certificate = Text("--cert", "FILE", "The certificate to show to the server: PEM, or PFX.");
    private readonly Option<string?> _key = Text("--key", "FILE", "The certificate's private key (PEM), where it is a file of its own.");
    private readonly Option<string?> _serverName = Text("--server-name", "NAME", "The name that the server's certificate must have, in place of the URL's host.");
    private readonly Option<string?> _alpn = Text("--alpn", "NAMES", "Application protocols to offer, best first, with commas.");
    private readonly Option<bool> _insecure = new("--insecure") { Description = "Take any certificate: whoever is in between may be the peer." };

    public ClientArguments(Command command, TimeSpan timeout)
    {
        Timeout = ValueOptions.Time("--timeout", TimeSpan.FromHours(1), timeout, "How long a connection may take to be opened, TLS included.");
        command.Add(_url);
        foreach (Option option in (Option[])[_tls, _ca, _certificate, _key, _serverName, _alpn, _insecure, Timeout])
        {
            command.Add(option);
        }
    }

    public ValueOption<TimeSpan> Timeout { get; }

    /// <summary>Reads the arguments and the files that they name.</summary>
    /// <exception cref="CommandException">The URL is none, options do not go together, or a file cannot be used.</exception>
    public Client Read(ParseResult parsed)
    {
        string text = parsed.GetRequiredValue(_url);
        EndpointUrl url = EndpointUrl.ParseTarget(text, out string? wrong) ?? throw new CommandException($"URL: {wrong}");

        var options = new ByteStreamClientOptions
        {
            ConnectTimeout = Timeout.Of(parsed),
            TlsHandshakeTimeout = Timeout.Of(parsed),
        };
        if (url.IsTls || parsed.GetValue(_tls))
        {
            options.Tls = Tls(parsed, url);
        }
        else if (new Option[] { _ca, _certificate, _key, _serverName, _alpn, _insecure }.FirstOrDefault(option => parsed.GetResult(option) is { Implicit: false }) is Option idle)
        {
            throw new CommandException($"{idle.Name} is about TLS, which '{text}' does not speak. Write tls://host:port, or add --tls.");
        }

        return new Client(text, url.EndPoint ?? EndPoint(url), options);
    }

    [SuppressMessage("Security", "CA5359", Justification = "--insecure asks for it, and is warned of.")]
    private SslClientAuthenticationOptions Tls(ParseResult parsed, EndpointUrl url)
    {
        bool insecure = parsed.GetValue(_insecure);
        var tls = new TlsClientOptions { CaPath = parsed.GetValue(_ca), ServerName = parsed.GetValue(_serverName) ?? url.Host };
        if (insecure && tls.CaPath is not null)
        {
            throw new CommandException("--insecure takes any certificate, and --ca only some. Leave one of them out.");
        }

        if (tls.ServerName is null && !insecure)
        {
            throw new CommandException("--server-name is missing: a Unix socket has no host whose name the certificate could have.");
        }

        foreach (string protocol in (parsed.GetValue(_alpn) ?? string.Empty).Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            tls.ApplicationProtocols.Add(protocol);
        }

        string? key = parsed.GetValue(_key);
        if (parsed.GetValue(_certificate) is string certificate)
        {
            tls.Certificate = new TlsCertificateOptions { Path = certificate, KeyPath = key };
        }
        else if (key is not null)
        {
            throw new CommandException("--key needs --cert, the certificate that it belongs to.");
        }

        SslClientAuthenticationOptions options;
        try
        {
            options = tls.CreateAuthenticationOptions();
        }
        catch (ArgumentException unusable)
        {
            throw new CommandException(unusable.Message, unusable);
        }

        if (insecure)
        {
            Console.Error.WriteLine("warning: --insecure: the server's certificate is not checked, and whoever is in between may be the peer.");
            options.RemoteCertificateValidationCallback = static (_, _, _, _) => true;
        }

        return options;
    }

    private static EndPoint EndPoint(EndpointUrl url) =>
        IPAddress.TryParse(url.Host, out IPAddress? address) ? new IPEndPoint(address, url.Port) : new DnsEndPoint(url.Host!, url.Port);

    private static Option<string?> Text(string name, string takes, string description) => new(name) { HelpName = takes, Description = description };
}

/// <summary>A client that was asked for.</summary>
/// <param name="Url">As it was written, for messages.</param>
/// <param name="EndPoint">Where it connects to.</param>
/// <param name="Options">How.</param>
internal sealed record Client(string Url, EndPoint EndPoint, ByteStreamClientOptions Options)
{
    private bool _lacksCertificate;

    /// <summary>
    /// What to add to the error of a connection that was refused: that the server asked for a certificate, and none was given. Empty unless
    /// <see cref="WatchForCertificateRequest"/> was called before, and the server did.
    /// </summary>
    public string CertificateRemedy => _lacksCertificate
        ? " The server asked for a client certificate and none was given: name one with --cert and --key."
        : string.Empty;

    /// <summary>Notes whether the server asks for a certificate. For single connections: SslStream resumes no session with a callback.</summary>
    public void WatchForCertificateRequest()
    {
        if (Options.Tls is { ClientCertificateContext: null } tls)
        {
            // Called before the handshake as well, without a server's certificate.
            tls.LocalCertificateSelectionCallback = (_, _, _, server, _) =>
            {
                _lacksCertificate |= server is not null;
                return null!;
            };
        }
    }

    /// <summary>Opens a connection.</summary>
    /// <exception cref="CommandException">It cannot be opened; the message says why.</exception>
    public async Task<ByteStreamConnection> OpenAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await ByteStream.OpenConnectionAsync(EndPoint, Options, cancellationToken);
        }
        catch (AuthenticationException refused)
        {
            throw new CommandException($"{Url}: {CommandLine.Line(refused)}{Remedy(refused.Message)}{CertificateRemedy}", refused);
        }
        catch (SocketException failed)
        {
            throw new CommandException($"{Url}: {UnixSockets.Message(failed, EndPoint)}", failed);
        }
        catch (Exception failed) when (failed is IOException or TimeoutException)
        {
            throw new CommandException($"{Url}: {failed.Message}{CertificateRemedy}", failed);
        }
    }

    private static string Remedy(string message) =>
        message.Contains("UntrustedRoot", StringComparison.Ordinal) || message.Contains("PartialChain", StringComparison.Ordinal) ? ". Name its authority with --ca."
        : message.Contains("NameMismatch", StringComparison.Ordinal) ? ". Give the name that it has with --server-name."
        : string.Empty;
}
