namespace ByteStreams.Timeouts;

/// <summary>
/// The options in the heartbeat's unit, and that heartbeat: one object for all connections of an endpoint. <see cref="Never"/> stands for no limit.
/// </summary>
internal sealed class TimeoutLimits(TimeoutOptions options, Heartbeat heart)
{
    public const uint Never = uint.MaxValue;

    /// <summary>How long a connection that is closed for a timeout may take to deliver what was written.</summary>
    public const uint Delivery = 5 * Heartbeat.UnitsPerSecond;

    /// <summary>The clock, which checks the connections.</summary>
    public Heartbeat Heart { get; } = heart;

    public uint FirstByte { get; } = Units(options.FirstByte);

    public uint ReceiveIdle { get; } = Units(options.ReceiveIdle);

    public uint SendStall { get; } = Units(options.SendStall);

    public uint RateGrace { get; } = Units(options.MinReceiveRateGrace);

    public int Rate { get; } = options.MinReceiveRate ?? 0;

    public uint Lifetime { get; } = Units(options.Lifetime);

    public uint HalfClosed { get; } = Units(options.HalfClosed);

    /// <summary>One more than the time, since both ends of a measured span are rounded down: never early.</summary>
    private static uint Units(TimeSpan? time) => time is TimeSpan some ? (uint)Math.Ceiling(some.TotalSeconds * Heartbeat.UnitsPerSecond) + 1 : Never;
}
