using ByteStreams.Relay;
using ByteStreams.Transport.Text;
using ByteStreams.Transport.Validation;

namespace ByteStreams;

/// <summary>The options of a <see cref="ByteStreamRelay"/>.</summary>
public sealed class RelayOptions
{
    internal static OptionRanges<RelayOptions> Ranges { get; } = new(
        new DurationOption<RelayOptions>(nameof(ConnectTimeout), DurationRange.Positive, o => o.ConnectTimeout),
        new NumberOption<RelayOptions>(nameof(Retries), NumberRange.AtLeastZero, o => o.Retries),
        new NumberOption<RelayOptions>(nameof(EjectAfter), NumberRange.AtLeastZero, o => o.EjectAfter),
        new DurationOption<RelayOptions>(nameof(EjectFor), DurationRange.Positive, o => o.EjectFor),
        new DurationOption<RelayOptions>(nameof(HealthCheckInterval), DurationRange.Positive, o => o.HealthCheckInterval),
        new DurationOption<RelayOptions>(nameof(HealthCheckTimeout), DurationRange.Positive, o => o.HealthCheckTimeout),
        new NumberOption<RelayOptions>(nameof(UnhealthyAfter), NumberRange.AtLeastOne, o => o.UnhealthyAfter),
        new NumberOption<RelayOptions>(nameof(HealthyAfter), NumberRange.AtLeastOne, o => o.HealthyAfter),
        new DurationOption<RelayOptions>(nameof(ResolveInterval), DurationRange.AtLeastOneSecond, o => o.ResolveInterval),
        new DurationOption<RelayOptions>(nameof(DrainQuiet), DurationRange.Positive, o => o.DrainQuiet));

    /// <summary>
    /// The upstreams: <c>tcp://host:port</c>, <c>tls://host:port</c>, <c>unix:/path</c> or <c>unix:@name</c>. At least one. The addresses of a
    /// host name are used in dispatch.
    /// </summary>
    public IList<string> Upstreams { get; } = [];

    /// <summary>The load balancing policy: <c>LeastConnections</c> (the default), <c>RoundRobin</c> or <c>PowerOfTwoChoices</c>.</summary>
    public LoadBalancing LoadBalancing { get; set; }

    /// <summary>The timeout of one connect to an upstream, name resolution and TLS included: 5 s by default, greater than zero.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The number of other upstreams that are tried after a failed connect: 2 by default, zero or more. Then the client's connection is reset. An
    /// established connection is never retried, because the upstream may have processed its bytes.
    /// </summary>
    public int Retries { get; set; } = 2;

    /// <summary>
    /// The number of consecutive connect failures after which an upstream is ejected for <see cref="EjectFor"/>: 3 by default; 0 disables
    /// ejection. If all upstreams are ejected, all are tried.
    /// </summary>
    public int EjectAfter { get; set; } = 3;

    /// <summary>The duration of an ejection: 10 s by default, greater than zero. After it, one failure ejects the upstream again.</summary>
    public TimeSpan EjectFor { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>The interval of health checks. A check opens a connection, with TLS if configured, and closes it. No checks by default.</summary>
    public TimeSpan? HealthCheckInterval { get; set; }

    /// <summary>The timeout of a health check: 2 s by default, greater than zero.</summary>
    public TimeSpan HealthCheckTimeout { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>The number of consecutive failed health checks after which an upstream is unhealthy and gets no connections: 3 by default, at least 1.</summary>
    public int UnhealthyAfter { get; set; } = 3;

    /// <summary>The number of consecutive successful health checks after which an upstream is healthy again: 2 by default, at least 1.</summary>
    public int HealthyAfter { get; set; } = 2;

    /// <summary>The interval at which host names of upstreams are resolved again: 30 s by default, at least 1 s. The known addresses stay if that fails.</summary>
    public TimeSpan ResolveInterval { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Whether the health check <c>AddByteStreams</c>, and with it <c>/readyz</c> of StreamsHost, fails while no upstream is available: false by
    /// default. An upstream is available while it is neither unhealthy nor ejected. Set <see cref="HealthCheckInterval"/> too: without checks only
    /// clients' connections detect a failed upstream, and it counts as available again after <see cref="EjectFor"/>. If several instances share
    /// their upstreams, all of them fail at the same time, and a load balancer in front of them has no instance left.
    /// </summary>
    public bool Readiness { get; set; }

    /// <summary>
    /// Whether a PROXY header with the client's address is sent to the upstream before any other byte: <c>None</c> (the default), <c>V1</c> or
    /// <c>V2</c>. The addresses of a received header are forwarded; health checks send LOCAL. The upstream must expect the header.
    /// </summary>
    public SendProxyHeader SendProxyHeader { get; set; }

    /// <summary>
    /// The idle time after which a connection is closed cleanly while the server stops: 1 s by default, greater than zero. A relay does not know
    /// where messages end, so that an idle connection counts as between two messages; see <see cref="DrainWaitsForAnswer"/> for the exception.
    /// </summary>
    public TimeSpan DrainQuiet { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Whether a stop waits, within <c>DrainTimeout</c>, for the response on a connection whose client sent the last bytes: true by default. Set it
    /// to false for protocols without responses, such as log shipping: their connections are closed after <see cref="DrainQuiet"/>, also within a
    /// message.
    /// </summary>
    public bool DrainWaitsForAnswer { get; set; } = true;

    /// <summary>The TLS options of <c>tls://</c> upstreams. Changed files are reloaded for new connections.</summary>
    public TlsClientOptions Tls { get; } = new();

    /// <summary>
    /// The socket options of upstream connections. By default keep-alive is on, with the first probe after 60 s and further probes every 10 s, and
    /// <see cref="ByteStreamTransportOptions.TcpUserTimeout"/> is 5 min, so that connections to an upstream that has vanished are closed.
    /// <c>Tls</c>, <c>ConnectTimeout</c>, <c>TlsRequireCloseNotify</c> and <c>TlsEngine</c> are not used.
    /// </summary>
    public ByteStreamClientOptions Connection { get; set; } = new UpstreamConnectionOptions();

    /// <exception cref="ArgumentException">The options are not valid; the message has all errors.</exception>
    internal void Validate() => ValidationErrors.ThrowIfAny(GetErrors());

    /// <summary>Returns the validation errors. Each begins with its key.</summary>
    internal IEnumerable<string> GetErrors()
    {
        if (Upstreams.Count == 0)
        {
            yield return "Relay:Upstreams is empty. Add at least one URL, such as tcp://host:port or unix:/path.";
        }

        for (int i = 0; i < Upstreams.Count; i++)
        {
            if (EndpointUrl.ParseTarget(Upstreams[i], out string? wrong) is null)
            {
                yield return $"Relay:Upstreams:{i}: {wrong}";
            }
        }

        foreach (string error in Ranges.Validate(this, "Relay:"))
        {
            yield return error;
        }
    }
}
