namespace ByteStreams;

/// <summary>What is reported about connections.</summary>
public sealed class TelemetryOptions
{
    /// <summary>Whether one line is logged for each connection when it has closed (Information, category <c>ByteStreams.Connection</c>). True by default.</summary>
    public bool SummaryLog { get; set; } = true;

    /// <summary>
    /// Whether a connection on which the peer has sent no byte is logged as any other. False logs its lines at Debug (the summary, a failed TLS
    /// handshake, a missing PROXY header), for endpoints that a load balancer probes by connecting, as HAProxy's <c>option dontlognull</c>
    /// does. Metrics count it in any case. True by default.
    /// </summary>
    public bool LogEmptyConnections { get; set; } = true;

    /// <summary>Whether each connection is an activity of the source <c>ByteStreams</c>, if anything listens to it. True by default.</summary>
    public bool Tracing { get; set; } = true;

    /// <summary>The endpoint's name in all three; the addresses that are listened on by default, and - where the builder knows none.</summary>
    public string? Endpoint { get; set; }
}
