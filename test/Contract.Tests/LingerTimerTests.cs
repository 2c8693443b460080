using System.Net;
using ByteStreams.Transport;

namespace ByteStreams.Contract.Tests;

/// <summary>The timer that the lingering connections of a clock share.</summary>
public sealed class LingerTimerTests
{
    private static readonly AsyncLocal<string?> Ambient = new();

    private readonly Clock _clock = new();

    [Fact, Trait("Contract", "W3")]
    public void Tick_QueuedBeforeItsTimerHadEnded_LeavesTheNextTimerAlone()
    {
        ScriptedChannel first = Linger(TimeSpan.FromSeconds(2));
        Clock.Timer stale = Assert.Single(_clock.Timers);
        first.End();
        stale.Fire();
        ScriptedChannel second = Linger(TimeSpan.FromSeconds(2));
        Assert.Equal(2, _clock.Timers.Count);

        stale.Fire();

        // The next one is on the same timer, and one that has ended is not looked at any more.
        ScriptedChannel third = Linger(TimeSpan.FromSeconds(2));
        Assert.Equal(2, _clock.Timers.Count);
        second.End();
        third.End();
        Clock.Timer timer = _clock.Timers[1];
        Assert.False(timer.IsDisposed);
        timer.Fire();
        Assert.True(timer.IsDisposed);
    }

    [Theory, Trait("Contract", "W3")]
    [InlineData(1)]
    [InlineData(TimeSpan.TicksPerMillisecond)]
    [InlineData(19 * TimeSpan.TicksPerMillisecond)]
    public void Timer_OfAShortTimeout_GoesOn(long ticks)
    {
        ScriptedChannel channel = Linger(new TimeSpan(ticks));

        // The system's timer counts whole milliseconds, and one of zero fires only once.
        Assert.InRange(_clock.Timers[0].Period, TimeSpan.FromMilliseconds(1), TimeSpan.MaxValue);
        channel.End();
        _clock.Timers[0].Fire();
    }

    [Fact]
    public void Timer_MadeInAFlowOfItsOwn_DoesNotKeepIt()
    {
        Ambient.Value = "of the first that closes";
        ScriptedChannel channel = Linger(TimeSpan.FromSeconds(2));
        Ambient.Value = null;
        Assert.Null(_clock.Timers[0].Flow);
        channel.End();
        _clock.Timers[0].Fire();
    }

    /// <summary>A connection that is closed from this side, and whose peer has not ended.</summary>
    private ScriptedChannel Linger(TimeSpan timeout)
    {
        var channel = new ScriptedChannel();
        new ChannelConnection(
            channel, null, new IPEndPoint(IPAddress.Loopback, 1), new ByteStreamTransportOptions { TimeProvider = _clock, LingerTimeout = timeout }).Close();
        return channel;
    }

    /// <summary>Timers fire when a test says so; as the system's, also once more when they were disposed meanwhile.</summary>
    private sealed class Clock : TimeProvider
    {
        public List<Timer> Timers { get; } = [];

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = new Timer(() => callback(state), period, ExecutionContext.IsFlowSuppressed() ? null : Ambient.Value);
            Timers.Add(timer);
            return timer;
        }

        public sealed class Timer(Action fire, TimeSpan period, string? flow) : ITimer
        {
            public bool IsDisposed { get; private set; }

            public TimeSpan Period => period;

            /// <summary>What the callback would see of the flow that has made the timer.</summary>
            public string? Flow => flow;

            public void Fire() => fire();

            public bool Change(TimeSpan dueTime, TimeSpan period) => true;

            public void Dispose() => IsDisposed = true;

            public ValueTask DisposeAsync()
            {
                Dispose();
                return default;
            }
        }
    }
}
