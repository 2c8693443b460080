using ByteStreams.Transport.Validation;

namespace ByteStreams.Configuration;

/// <summary>The keys of a <c>ByteStreams</c> section that apply to all endpoints.</summary>
internal sealed class ServiceSettings
{
    private TimeSpan? _drainDelay;
    private TimeSpan? _drainTimeout;

    internal static OptionRanges<ServiceSettings> Ranges { get; } = new(
        new NumberOption<ServiceSettings>(nameof(MaxConnections), NumberRange.AtLeastZero, o => o.MaxConnections),
        new NumberOption<ServiceSettings>(
            nameof(MaxBufferedBytes), new(Minimum: 1 << 20, NumberRange.MaximumBytes, AllowsZero: true), o => o.MaxBufferedBytes),
        new NumberOption<ServiceSettings>(
            nameof(MaxPending), new(Minimum: ByteStreamConnectionsOptions.MinimumMaxPending, NumberRange.MaximumBytes), o => o.MaxPending),
        new DurationOption<ServiceSettings>(nameof(PendingTimeout), DurationRange.Positive, o => o.PendingTimeout),
        new DurationOption<ServiceSettings>(nameof(DrainDelay), DurationRange.ZeroOrMore, o => o.DrainDelay),
        new DurationOption<ServiceSettings>(nameof(DrainTimeout), DurationRange.ZeroOrMore, o => o.DrainTimeout));

    /// <summary>
    /// The maximum number of connections of all endpoints together, 0 for no limit. The default is the smaller of two numbers. The first is the
    /// limit of open descriptors (<c>ulimit -n</c>, <c>LimitNOFILE</c>) less the reserves and the descriptors open at the start, halved if an
    /// endpoint is a relay, whose connections take two. The second is one connection per 8 KiB of the memory that the process may use, or per 16
    /// KiB if an endpoint is a relay. The number is logged at the start. A change applies at once: open connections stay, and new ones are refused
    /// until the number is below the limit.
    /// </summary>
    public int? MaxConnections { get; set; }

    /// <summary>
    /// The maximum number of bytes in the buffers of all connections of the process, 0 for no limit: bytes received and not consumed, and bytes
    /// written and not sent, counted by their pooled blocks. The default is an eighth of the memory that the process may use according to the
    /// garbage collector (three quarters of a container's limit, or <c>DOTNET_GCHeapHardLimit</c>). Above the limit, connections that hold more
    /// than a small block (1 KiB) are not read until the total has fallen by an eighth; other connections continue. Timeouts keep running. A
    /// change applies at once.
    /// </summary>
    public long? MaxBufferedBytes { get; set; }

    /// <summary>
    /// The maximum number of bytes queued for one registered connection (<c>ByteStreamConnections</c>), in addition to its write buffer. A message
    /// that would exceed it aborts the connection with the reason <c>slow_consumer</c>. A change applies at once.
    /// </summary>
    public long MaxPending { get; set; } = ByteStreamConnectionsOptions.DefaultMaxPending;

    /// <summary>
    /// The time in which a connection with queued messages must drain its write buffer to the low-water mark. After it, the connection is aborted
    /// with the reason <c>slow_consumer</c>. Reading single bytes does not extend it. A change applies to drains that begin later.
    /// </summary>
    public TimeSpan PendingTimeout { get; set; } = ByteStreamConnectionsOptions.DefaultPendingTimeout;

    /// <summary>
    /// How long clients are still accepted after a stop was requested, while the health check already fails: the time that a load balancer
    /// needs to remove this instance. In Kubernetes, 5s.
    /// </summary>
    public TimeSpan DrainDelay
    {
        get => _drainDelay ?? TimeSpan.Zero;
        set => _drainDelay = value;
    }

    /// <summary>
    /// How long handlers may run after <c>DrainDelay</c>, once no client is accepted any more and their <c>stopping</c> token is canceled.
    /// Connections that remain are aborted and logged. The host's <c>ShutdownTimeout</c> is extended to fit. If it was set in code, and neither
    /// this key nor <c>DrainDelay</c> is set, it bounds the drain.
    /// </summary>
    public TimeSpan DrainTimeout
    {
        get => _drainTimeout ?? TimeSpan.FromSeconds(30);
        set => _drainTimeout = value;
    }

    /// <summary>Whether a drain time is configured.</summary>
    public bool ConfiguresDrain() => _drainDelay is not null || _drainTimeout is not null;
}
