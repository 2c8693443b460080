using System.Net.Sockets;
using ByteStreams.Transport;
using ByteStreams.Transport.Epoll;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Contract.Tests.Engine;

/// <summary>Takeovers of a loop that the process's watchdog does not check: the test calls <see cref="EventLoop.Watch"/> and starts the leaders.</summary>
public sealed class LoopTakeoverTests
{
    public LoopTakeoverTests() => Assert.SkipUnless(LibC.IsSupported, "The engine needs Linux on x64 or arm64.");

    [Fact, Trait("Fault", "F48"), Trait("Contract", "W1")]
    public async Task Watch_NewLeaderHasNotBegun_IsNotReplacedAndItsDeferredWorkRuns()
    {
        var release = new TaskCompletionSource();
        var leaders = new Queue<Action<LoopDispatch>>();
        var loop = new EventLoop(leaders.Enqueue);
        LoopThread.Run(leaders.Dequeue());
        using var first = new BlockingSink(loop, release);
        await Patience.UntilAsync(() => first.HasBegun);
        using var second = new BlockingSink(loop, release);
        await Patience.UntilAsync(() => loop.Watch() && leaders.Count > 0);
        Assert.True(first.IsFoundBlocked);

        // Checks while the new leader waits for a processor.
        for (int i = 0; i < 10; i++)
        {
            Assert.True(loop.Watch());
        }

        LoopThread.Run(Assert.Single(leaders));
        await Patience.UntilAsync(() => second.HasBegun);
        await Patience.UntilAsync(() => loop.Watch() && second.HasDeferredWorkRun);
        Assert.False(second.IsFoundBlocked);
    }

    /// <summary>A socket whose handler defers work to the end of the dispatch, as a write does, and blocks.</summary>
    private sealed class BlockingSink : IEventSink, IDispatchWork, IDisposable
    {
        private readonly EventLoop _loop;
        private readonly TaskCompletionSource _release;
        private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        private readonly ulong _registration;
        private volatile bool _hasBegun;
        private volatile bool _hasDeferredWorkRun;
        private volatile bool _isFoundBlocked;

        /// <summary>The socket is writable: its event arrives at once.</summary>
        public BlockingSink(EventLoop loop, TaskCompletionSource release)
        {
            _loop = loop;
            _release = release;
            _registration = loop.Add((int)_socket.Handle, EpollEvents.Out, this);
        }

        public bool HasBegun => _hasBegun;

        public bool HasDeferredWorkRun => _hasDeferredWorkRun;

        public bool IsFoundBlocked => _isFoundBlocked;

        public void OnEvents(EpollEvents events)
        {
            LoopDispatch.Current!.Add(this);
            _hasBegun = true;
            _release.Task.Wait(CancellationToken.None);
        }

        public void OnBlocked() => _isFoundBlocked = true;

        public void OnDispatchEnd() => _hasDeferredWorkRun = true;

        public void Dispose()
        {
            _release.TrySetResult();
            _loop.Remove(_registration);
            _socket.Dispose();
        }
    }
}
