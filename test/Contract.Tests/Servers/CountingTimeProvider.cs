using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>A clock that stands still, and tells how many waits have begun: time that passes before a wait begins is none of it.</summary>
internal sealed class CountingTimeProvider : FakeTimeProvider
{
    private int _timers;

    public int Timers => Volatile.Read(ref _timers);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        ITimer timer = base.CreateTimer(callback, state, dueTime, period);
        Interlocked.Increment(ref _timers);
        return timer;
    }
}
