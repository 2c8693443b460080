using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using ByteStreams;
using StreamsHost.Admin;
using StreamsHost.Configuration;

namespace StreamsHost.Commands;

/// <summary>Asks a running host whether it is ready, for probes of containers that have no shell and no curl.</summary>
internal sealed class HealthcheckCommand : HostSubcommand
{
    private const string Ready = "/readyz";

    private readonly ConfigurationKeys _keys;
    private readonly ConfigurationFileOption _file;
    private readonly Argument<string?> _url = new("url")
    {
        Description = "The URL: http://host:port/path, unix:/path or unix:@name. By default /readyz at the configured Admin:Url.",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly ValueOption<TimeSpan> _timeout = ValueOptions.Time("--timeout", TimeSpan.FromMinutes(1), TimeSpan.FromSeconds(5), "The longest wait for the response.");

    public HealthcheckCommand(ConfigurationKeys keys, ConfigurationFileOption file)
        : base(
            "healthcheck",
            "Checks whether a running host is ready. Exits with 0 if it is, else with 1.",
            "healthcheck",
            "healthcheck http://127.0.0.1:7000/livez --timeout 2s",
            "healthcheck unix:/run/streamshost/admin.sock")
    {
        _keys = keys;
        _file = file;
        Add(_url);
        Add(_timeout);
        file.AddTo(this);
        SetAction(RunAsync);
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        string text = parsed.GetValue(_url) ?? Configured(_file.Read(parsed, _keys));
        TimeSpan timeout = _timeout.GetValue(parsed);
        (Uri url, EndPoint? socket) = Target(text);
        using var handler = new SocketsHttpHandler
        {
            // A probe connects to this host, and not to a proxy from the environment.
            UseProxy = false,
            AllowAutoRedirect = false,
        };
        if (socket is not null)
        {
            handler.ConnectCallback = async (_, token) => new NetworkStream(await UnixSockets.ConnectAsync(socket, token), ownsSocket: true);
        }

        using var client = new HttpClient(handler) { Timeout = timeout, MaxResponseContentBufferSize = 65536 };
        try
        {
            using HttpResponseMessage response = await client.GetAsync(url, cancellationToken);
            string line = $"{text} answered {(int)response.StatusCode}: {Line(await response.Content.ReadAsStringAsync(cancellationToken))}";
            if (!response.IsSuccessStatusCode)
            {
                throw new CommandException(line);
            }

            await parsed.InvocationConfiguration.Output.WriteLineAsync(line);
            return 0;
        }
        catch (HttpRequestException failed)
        {
            throw new CommandException(
                $"{text}: {(failed.InnerException is SocketException error && socket is not null ? UnixSockets.Message(error, socket) : failed.Message)}",
                failed);
        }
        catch (OperationCanceledException late) when (!cancellationToken.IsCancellationRequested)
        {
            throw new CommandException(string.Create(CultureInfo.InvariantCulture, $"{text} did not answer within {timeout.TotalSeconds:0.###} s."), late);
        }
    }

    /// <summary>The first of the addresses where the host's HTTP side listens, as it can be reached from here.</summary>
    private static string Configured(HostArguments arguments)
    {
        using var configuration = new ConfigurationManager();
        HostConfiguration.AddSources(configuration, arguments);
        AdminSettings settings = AdminSettings.Read(configuration);
        if (settings.Errors.Count > 0)
        {
            throw new EndpointConfigurationException([.. settings.Errors]);
        }

        if (!settings.IsEnabled)
        {
            throw new CommandException($"{AdminOptions.Section}:{AdminSettings.Enabled} is false: there is no HTTP side. Set it to true, or give a url.");
        }

        EndpointUrl url = settings.Urls[0];
        if (url.EndPoint is not null)
        {
            return url.ToString();
        }

        if (url.Port == 0)
        {
            throw new CommandException($"{AdminOptions.Section}:{nameof(AdminOptions.Url)} has port 0, which is any free port. Set a port, or give a url.");
        }

        // All interfaces are reached on this machine through the loopback one.
        string host = url.Host is null or "" or "0.0.0.0" or "::" ? "127.0.0.1" : url.Host.Contains(':', StringComparison.Ordinal) ? $"[{url.Host}]" : url.Host;
        return string.Create(CultureInfo.InvariantCulture, $"http://{host}:{url.Port}{Ready}");
    }

    private static (Uri Url, EndPoint? Socket) Target(string text)
    {
        if (text.StartsWith("unix:", StringComparison.OrdinalIgnoreCase))
        {
            return EndpointUrl.TryParse(text, out EndpointUrl? unix, out string? error)
                ? (new Uri("http://localhost" + Ready), unix.EndPoint)
                : throw new CommandException($"url: {error}");
        }

        return Uri.TryCreate(text, UriKind.Absolute, out Uri? url) && (url.Scheme == Uri.UriSchemeHttp || url.Scheme == Uri.UriSchemeHttps)
            ? (url.AbsolutePath == "/" ? new Uri(url, Ready) : url, null)
            : throw new CommandException($"url: '{text}' has no known scheme. Write http://host:port/path, unix:/path or unix:@name.");
    }

    /// <summary>The answer in one line: whether, and what is wrong.</summary>
    private static string Line(string text) =>
        LogText.Escape(string.Join("; ", text.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)));
}
