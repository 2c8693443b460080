namespace ByteStreams.Configuration;

/// <summary>Everything that a section <c>Endpoints:&lt;name&gt;</c> says, over what <c>Defaults</c> says.</summary>
internal sealed class EndpointSettings
{
    /// <summary>Where it listens: <c>tcp://host:port</c>, <c>tls://host:port</c>, <c>unix:/path</c>, <c>unix:@name</c>, or <c>fd:name</c> for a socket that systemd hands over. Required.</summary>
    public string? Url { get; set; }

    /// <summary>The name of the handler that serves it. Required.</summary>
    public string? Handler { get; set; }

    public ByteStreamServerOptions Server { get; set; } = new();

    /// <summary>Counts, activities and the summary line of each connection. On by default.</summary>
    public SectionState<TelemetryOptions> Telemetry { get; } = new();

    /// <summary>How many connections the endpoint takes, and how fast.</summary>
    public SectionState<AdmissionOptions> Admission { get; } = new();

    /// <summary>Who may send PROXY headers. On where the section stands: then each connection must begin with one.</summary>
    public SectionState<ProxyProtocolOptions> ProxyProtocol { get; } = new();

    /// <summary>Which clients may connect.</summary>
    public SectionState<AccessListOptions> Access { get; } = new();

    /// <summary>TLS. On for a <c>tls://</c> URL, and where the endpoint itself has the section.</summary>
    public SectionState<TlsServerOptions> Tls { get; } = new();

    /// <summary>How long peers may take. On by default, with a send stall of 60 s. A connection ends at most 1.1 s after its time is over, never before.</summary>
    public SectionState<TimeoutOptions> Timeouts { get; } = new();

    /// <summary>Where connections are passed on to, for the handler <c>relay</c>.</summary>
    public SectionState<RelayOptions> Relay { get; } = new();
}
