namespace ByteStreams.Timeouts;

/// <summary>The options in the heartbeat's tenths of a second; <see cref="Never"/> where there is no limit.</summary>
internal sealed class TimeoutLimits(TimeoutOptions options)
{
    public const uint Never = uint.MaxValue;

    /// <summary>How long a connection that is closed for a timeout may take to deliver what was written.</summary>
    public const uint Delivery = 50;

    public uint FirstByte { get; } = Tenths(options.FirstByte);

    public uint ReceiveIdle { get; } = Tenths(options.ReceiveIdle);

    public uint SendStall { get; } = Tenths(options.SendStall);

    public uint RateGrace { get; } = Tenths(options.MinReceiveRateGrace);

    public int Rate { get; } = options.MinReceiveRate ?? 0;

    public uint Lifetime { get; } = Tenths(options.Lifetime);

    public uint HalfClosed { get; } = Tenths(options.HalfClosed);

    /// <summary>One more than the time, since both ends of a measured span are rounded down: never early.</summary>
    private static uint Tenths(TimeSpan? time) => time is TimeSpan some ? (uint)Math.Ceiling(some.TotalSeconds * 10) + 1 : Never;
}
