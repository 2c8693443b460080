namespace ByteStreams.Configuration;

/// <summary>Everything that a section <c>Endpoints:&lt;name&gt;</c> says, over what <c>Defaults</c> says.</summary>
internal sealed class EndpointSettings
{
    /// <summary>The URL to listen on: <c>tcp://host:port</c>, <c>tls://host:port</c>, <c>unix:/path</c>, <c>unix:@name</c>, or <c>fd:name</c> for a socket that systemd passes. Required.</summary>
    public string? Url { get; set; }

    /// <summary>The name of the handler that serves the connections. Required.</summary>
    public string? Handler { get; set; }

    public ByteStreamServerOptions Server { get; set; } = new();

    /// <summary>Metrics, traces and a summary log line per connection. Enabled by default.</summary>
    public SectionState<TelemetryOptions> Telemetry { get; } = new();

    /// <summary>Limits on the number and the rate of connections.</summary>
    public SectionState<AdmissionOptions> Admission { get; } = new();

    /// <summary>PROXY protocol headers from trusted proxies. Enabled if the section exists: then every connection has to begin with a header.</summary>
    public SectionState<ProxyProtocolOptions> ProxyProtocol { get; } = new();

    /// <summary>Access lists: the clients that may connect.</summary>
    public SectionState<AccessListOptions> Access { get; } = new();

    /// <summary>TLS. Enabled by a <c>tls://</c> URL, or by this section in the endpoint itself.</summary>
    public SectionState<TlsServerOptions> Tls { get; } = new();

    /// <summary>Timeouts for peers. Enabled by default, with a send stall of 60 s. A connection is closed at most 1.1 s after its timeout, never before.</summary>
    public SectionState<TimeoutOptions> Timeouts { get; } = new();

    /// <summary>The upstreams of the handler <c>relay</c>.</summary>
    public SectionState<RelayOptions> Relay { get; } = new();
}
