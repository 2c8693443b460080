namespace ByteStreams.Middleware.Tests.Timeouts;

/// <summary>A clock whose wall time somebody sets, while its timers and timestamps go on.</summary>
internal sealed class JumpingClock(TimeProvider inner) : TimeProvider
{
    public TimeSpan Jump { get; set; }

    public override long TimestampFrequency => inner.TimestampFrequency;

    public override DateTimeOffset GetUtcNow() => inner.GetUtcNow() + Jump;

    public override long GetTimestamp() => inner.GetTimestamp();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        inner.CreateTimer(callback, state, dueTime, period);
}
