using ByteStreams.Transport.Validation;

namespace ByteStreams.Configuration;

/// <summary>What a <c>ByteStreams</c> section says beside its endpoints.</summary>
internal sealed class ServiceSettings
{
    private TimeSpan? _drainDelay;
    private TimeSpan? _drainTimeout;

    internal static OptionRanges<ServiceSettings> Ranges { get; } = new(
        new NumberOption<ServiceSettings>(nameof(MaxConnections), NumberRange.AtLeastZero, o => o.MaxConnections),
        new NumberOption<ServiceSettings>(
            nameof(MaxBufferedBytes), new(Minimum: 1 << 20, NumberRange.MaximumBytes, AllowsZero: true), o => o.MaxBufferedBytes),
        new DurationOption<ServiceSettings>(nameof(DrainDelay), DurationRange.ZeroOrMore, o => o.DrainDelay),
        new DurationOption<ServiceSettings>(nameof(DrainTimeout), DurationRange.ZeroOrMore, o => o.DrainTimeout));

    /// <summary>
    /// Connections of all endpoints together, 0 for no limit. By default as many as the process has descriptors and memory for, whichever
    /// are fewer: the limit of open descriptors (<c>ulimit -n</c>, <c>LimitNOFILE</c>) less the reserves and those open at the start, and
    /// half of that where an endpoint is a relay, whose connections take two; one connection for each 8 KiB of the memory that the process
    /// may use, a relayed one for 16 KiB. The number is logged at the start. A change counts at once: who is connected stays, and new
    /// connections are refused until there are fewer.
    /// </summary>
    public int? MaxConnections { get; set; }

    /// <summary>
    /// Bytes that the buffers of all connections of the process may hold, 0 for no limit: received and not consumed, written and not sent,
    /// counted by the pooled blocks that they lie in. By default an eighth of the memory that the process may use, as the garbage collector
    /// knows it (three quarters of a container's limit, or <c>DOTNET_GCHeapHardLimit</c>). Above it connections that hold more than a small
    /// block (1 KiB) are not read until the total has fallen by an eighth; others go on. Their timeouts count meanwhile. A change counts at once.
    /// </summary>
    public long? MaxBufferedBytes { get; set; }

    /// <summary>
    /// How long clients are still accepted when the program is told to end, while its health check fails already: the time that a load
    /// balancer needs to notice. In Kubernetes, 5s.
    /// </summary>
    public TimeSpan DrainDelay
    {
        get => _drainDelay ?? TimeSpan.Zero;
        set => _drainDelay = value;
    }

    /// <summary>
    /// How long handlers have behind that, once no client is accepted any more and they have been told to end. Connections that are left
    /// then are aborted, and logged. The host's own <c>ShutdownTimeout</c> is extended to fit; only where it was set in code, and neither
    /// this nor <c>DrainDelay</c> is set, it counts before this.
    /// </summary>
    public TimeSpan DrainTimeout
    {
        get => _drainTimeout ?? TimeSpan.FromSeconds(30);
        set => _drainTimeout = value;
    }

    /// <summary>Whether one of the drain's times was set.</summary>
    public bool SaysHowToDrain() => _drainDelay is not null || _drainTimeout is not null;
}
