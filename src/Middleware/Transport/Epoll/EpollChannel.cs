using System.Buffers;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;
using ByteStreams.Transport.Interop;
using ByteStreams.Transport.Unix;

namespace ByteStreams.Transport.Epoll;

/// <summary>A connected stream socket on an <see cref="EventLoop"/>: the engine for Linux.</summary>
/// <remarks>
/// Registered once and edge-triggered: an edge sets a flag, and a call clears it before it looks. A receive that was short has
/// emptied the socket, so that the next one waits for an edge without asking. Whoever waits goes on inline on the loop's thread;
/// after a close, on the thread pool.
/// </remarks>
internal sealed class EpollChannel : SocketByteChannel, IEventSink
{
    /// <summary>
    /// What one turn receives, and what it sends, at most: then the others on the loop have theirs (F10). Four of the largest
    /// blocks, so that it costs a bulk transfer one system call in four.
    /// </summary>
    private const int TurnBytes = 1 << 20;

    /// <summary>The pieces of one send. The kernel takes 1024; these few are blocks of up to 64 KiB and fill a socket's buffer.</summary>
    private const int MostPieces = 16;

    /// <summary>So many short turns in a row bring a handler that has blocked back to the loop, and clear one that is suspected.</summary>
    private const int Probation = 64;

    /// <summary>A turn that is no trouble to others on a loop.</summary>
    private static readonly TimeSpan ShortTurn = TimeSpan.FromMilliseconds(1);

    private const int Readable = 1;
    private const int Writable = 2;

    // The peer has ended or is gone: no further edge tells of the end behind a short receive.
    private const int Hung = 4;
    private const int ReceiveWaiting = 8;
    private const int SendWaiting = 16;
    private const int Starting = 32;
    private const int Closed = 64;

    // The connection has failed: a pending error, a reset or a timeout of the system.
    private const int Failed = 128;
    private const int ReportsLoss = 256;
    private const int AllWaiting = ReceiveWaiting | SendWaiting | Starting;

    private readonly EventLoop _loop;
    private readonly Descriptor _descriptor;
    private readonly bool _isUnix;
    private readonly PeerAddress _peer;
    private readonly BlockingSuspicion? _suspicion;

    // The own address, or the credentials of the peer on a Unix socket, which has no address: one field for both is 8 bytes of each
    // idle connection. Read when first asked for, at the latest at the close.
    private object? _identity;
    private EndPoint? _remote;
    private Socket? _exposed;
    private ulong _registration;
    private bool _isRegistered;
    private bool _watchesOut;
    private volatile bool _shutdown;
    private int _state;
    private int _trust;

    // A Unix socket reports a reset once; after a send that it was reported to, a receive reads it as an end.
    private volatile bool _isReset;
    private int _receivedInTurn;
    private int _sentInTurn;

    // Made at first use: a socket is seldom full.
    private Signal? _send;
    private StartSignal? _start;
    private IReceiver? _receiver;

    /// <param name="loop">The loop that its handler runs on.</param>
    /// <param name="descriptor">The connected socket; this closes it.</param>
    /// <param name="isUnix">Whether it is of the address family AF_UNIX.</param>
    /// <param name="peer">Whom it is connected to.</param>
    /// <param name="suspicion">What is known of the listener's other handlers; null for a client, which has no kin.</param>
    public EpollChannel(EventLoop loop, Descriptor descriptor, bool isUnix, in PeerAddress peer, BlockingSuspicion? suspicion)
    {
        _suspicion = suspicion;
        _loop = loop;
        _descriptor = descriptor;
        _isUnix = isUnix;
        _peer = peer;
    }

    public EventLoop Loop => _loop;

    public override EndPoint? LocalEndPoint => _isUnix ? null : (EndPoint?)Identity;

    public override EndPoint? RemoteEndPoint => _isUnix ? null : _remote ??= Plain(PeerAddress.ToEndPoint(_peer));

    public override nint Number => _descriptor.DangerousGetHandle();

    public override Socket? Socket
    {
        get
        {
            lock (_descriptor)
            {
                // A descriptor of its own: whatever is done with it, the engine's cannot be closed under its feet.
                return _exposed ??= (_state & Closed) == 0 ? Expose() : null;
            }
        }
    }

    public override UnixCredentials? PeerCredentials => _isUnix ? (UnixCredentials?)Identity : null;

    private object? Identity => _identity ??= _isUnix ? ReadPeerCredentials() : ReadLocalEndPoint();

    public override int Unacknowledged
    {
        get
        {
            bool held = false;
            try
            {
                int bytes = LibC.Unacknowledged(Acquire(ref held));
                // TCP counts its FIN as one more.
                return _shutdown && bytes > 0 && !_isUnix ? bytes - 1 : bytes;
            }
            catch (ObjectDisposedException)
            {
                return 0;
            }
            finally
            {
                Release(held);
            }
        }
    }

    public override bool DeliversBeforeReset => _isUnix;

    public override long Arrived
    {
        get
        {
            bool held = false;
            try
            {
                return LibC.Arrived(Acquire(ref held));
            }
            catch (ObjectDisposedException)
            {
                return 0;
            }
            finally
            {
                Release(held);
            }
        }
    }

    /// <summary>
    /// Completes on the loop's thread, so that the connection's handler runs there from its first line. Adding the registration
    /// brings an event at once, because a new socket is writable: nothing else has to wake the loop.
    /// </summary>
    public override ValueTask StartAsync()
    {
        _start = new StartSignal(this);
        return new ValueTask(_start, _start.Version);
    }

    public override bool CallsReceiver => true;

    public override bool HasEndArrived => (Volatile.Read(ref _state) & Hung) != 0;

    public override bool ReportLoss(IReceiver receiver)
    {
        _receiver = receiver;
        Register(EpollEvents.None);
        if ((Interlocked.Or(ref _state, ReportsLoss) & Failed) != 0)
        {
            receiver.OnLost();
        }

        return true;
    }

    public override Exception? FindLoss()
    {
        bool held = false;
        try
        {
            int error = LibC.PendingError(Acquire(ref held));
            // The system reports it once: a receive reads the reset as an end from now on.
            _isReset |= error == Errno.ConnectionReset;
            return error == 0 ? null : SocketErrors.ToConnectionException(error);
        }
        catch (ObjectDisposedException)
        {
            return null;
        }
        finally
        {
            Release(held);
        }
    }

    public override bool WaitToReceive(IReceiver receiver)
    {
        bool yield = _receivedInTurn >= TurnBytes && Turn.Current is not null;
        if (!yield && (Volatile.Read(ref _state) & (Readable | Closed)) != 0)
        {
            return true;
        }

        _receiver = receiver;
        return !TryWait(yield);
    }

    public override bool WaitToReceiveLater(IReceiver receiver)
    {
        _receiver = receiver;
        return !TryWait(yield: true);
    }

    public override bool HasPeerEnded => (Volatile.Read(ref _state) & (Hung | Closed)) != 0;

    public override bool TryReceive(Span<byte> destination, out int received, out Exception? loss)
    {
        received = TryReceive(destination);
        loss = received >= 0 || received == -Errno.TryAgain ? null : SocketErrors.ToConnectionException(-received);
        return received != -Errno.TryAgain;
    }

    public override ValueTask<int> SendAsync(ReadOnlySequence<byte> source)
    {
        if (_sentInTurn >= TurnBytes && Turn.Current is not null)
        {
            return SendLaterAsync(source, yield: true);
        }

        int sent = TrySend(source);
        return sent > 0 ? new ValueTask<int>(sent)
            : IsTransient(sent) ? SendLaterAsync(source, yield: false)
            : ValueTask.FromException<int>(SocketErrors.ToConnectionException(-sent));
    }

    public override int TrySend(in ReadOnlySequence<byte> queued, ReadOnlySpan<byte> more)
    {
        if (_sentInTurn >= TurnBytes && Turn.Current is not null)
        {
            return 0;
        }

        bool held = false;
        try
        {
            int descriptor = BeginSend(ref held);
            return Math.Max(0, Counted(queued.IsEmpty ? LibC.Send(descriptor, more) : SendPieces(descriptor, queued, more)));
        }
        catch (ObjectDisposedException)
        {
            return 0;
        }
        finally
        {
            Release(held);
        }
    }

    public override ValueTask ShutdownSendAsync()
    {
        _shutdown = true;
        bool held = false;
        try
        {
            int error = LibC.ShutdownSend(Acquire(ref held));
            return error == 0 ? default : ValueTask.FromException(SocketErrors.ToConnectionException(error));
        }
        catch (ObjectDisposedException)
        {
            return ValueTask.FromException(SocketErrors.ToConnectionException(Errno.BadDescriptor));
        }
        finally
        {
            Release(held);
        }
    }

    public override void Reset()
    {
        bool held = false;
        try
        {
            // A Unix socket has no reset of its own: its peer sees ECONNRESET if bytes were left unread here, else the end.
            LibC.LingerZero(Acquire(ref held));
        }
        catch (ObjectDisposedException)
        {
            return;
        }
        finally
        {
            Release(held);
        }

        Close();
    }

    public override void Close()
    {
        lock (_descriptor)
        {
            if ((Interlocked.Or(ref _state, Closed) & Closed) != 0)
            {
                return;
            }

            if (_isRegistered)
            {
                _loop.Remove(_registration);
                if (_exposed is not null)
                {
                    // The kernel forgets a registration with the last descriptor only, and that one may be in use for a while.
                    _loop.Unregister((int)_descriptor.DangerousGetHandle());
                }
            }

            _exposed?.Dispose();
            // One system call for a connection that was never asked, so that the answer is the same after its end.
            _ = Identity;
            _descriptor.Dispose();
        }

        int due = Interlocked.And(ref _state, ~AllWaiting) & AllWaiting;
        Complete(due, asynchronously: true);
    }

    void IEventSink.OnEvents(EpollEvents events)
    {
        const EpollEvents gone = EpollEvents.HangUp | EpollEvents.Error;
        int set = 0;
        int wakes = Starting;
        if ((events & (EpollEvents.In | EpollEvents.PeerHangUp | gone)) != 0)
        {
            set = (events & (EpollEvents.PeerHangUp | gone)) == 0 ? Readable : Readable | Hung;
            wakes |= ReceiveWaiting;
        }

        if ((events & EpollEvents.Error) != 0)
        {
            set |= Failed;
        }

        if ((events & (EpollEvents.Out | gone)) != 0)
        {
            set |= Writable;
            wakes |= SendWaiting;
        }

        int before = Volatile.Read(ref _state);
        int seen;
        while ((seen = Interlocked.CompareExchange(ref _state, (before | set) & ~wakes, before)) != before)
        {
            before = seen;
        }

        int due = before & wakes;
        if (due != 0)
        {
            _receivedInTurn = 0;
            _sentInTurn = 0;
            if ((due & Starting) != 0 && _isUnix)
            {
                // A Unix socket tells of every block that the peer has read; from here on only who waits for it wants to know.
                StopWatchingOut();
            }

            if (IsTrusted())
            {
                Complete(due, asynchronously: false);
                if (Volatile.Read(ref _trust) == 0)
                {
                    // Unless it was found to block meanwhile.
                    Interlocked.CompareExchange(ref _trust, 1, 0);
                }
            }
            else
            {
                CompleteApart(due);
            }
        }

        if ((set & Failed) != 0 && (before & (ReportsLoss | ReceiveWaiting)) == ReportsLoss)
        {
            _receiver!.OnLost();
        }
    }

    void IEventSink.OnBlocked() => Distrust();

    /// <summary>
    /// Whether the handler may run on the loop: it has not blocked it, at least not lately, and is known for short turns where others
    /// of its listener block. One turn is enough where it would wait for a thread while blocked handlers have them all.
    /// </summary>
    private bool IsTrusted()
    {
        int trust = Volatile.Read(ref _trust);
        return trust >= Probation
            || (trust >= 0 && (_suspicion is not { IsRaised: true } || (trust > 0 && BlockingHandlers.Shared.MayRiskLoop)));
    }

    private void Distrust()
    {
        Volatile.Write(ref _trust, -Probation);
        _suspicion?.OnBlocked();
    }

    /// <summary>In a method of its own, so that the closure is made only here.</summary>
    private void CompleteApart(int due) => BlockingHandlers.Shared.Run(_ => CompleteOnProbation(due));

    /// <summary>A handler that may block goes on elsewhere, until it has shown that it does not.</summary>
    private void CompleteOnProbation(int due)
    {
        int thread = Turn.Current!.Thread;
        TimeSpan? used = ThreadActivity.ProcessorTime(thread);
        long waits = ThreadActivity.Waits();
        long begun = Stopwatch.GetTimestamp();
        Complete(due, asynchronously: false);

        // A turn that was long because the thread had no processor says nothing of the handler.
        if (Stopwatch.GetElapsedTime(begun) > ShortTurn
            && (ThreadActivity.Waits() != waits || used is null || ThreadActivity.ProcessorTime(thread) - used > ShortTurn))
        {
            Distrust();
        }
        else
        {
            _suspicion?.OnShortTurn();
            if (Volatile.Read(ref _trust) < Probation)
            {
                Interlocked.Increment(ref _trust);
            }
        }
    }

    private void Complete(int due, bool asynchronously)
    {
        if ((due & SendWaiting) != 0)
        {
            _send!.Complete(asynchronously);
        }

        if ((due & ReceiveWaiting) != 0)
        {
            if (asynchronously)
            {
                ThreadPool.UnsafeQueueUserWorkItem(static waiting => waiting.OnReady(), _receiver!, preferLocal: false);
            }
            else
            {
                _receiver!.OnReady();
            }
        }

        // Last: what a handler does first may take a while, and whoever closes before it begins waits to receive at the same time.
        if ((due & Starting) != 0)
        {
            CompleteStart(asynchronously);
        }
    }

    private void Begin()
    {
        bool closed = (Interlocked.Or(ref _state, Starting) & Closed) != 0;
        try
        {
            Register(EpollEvents.Out);
        }
        catch (SocketException error)
        {
            Interlocked.And(ref _state, ~Starting);
            _start!.Fail(error);
            return;
        }

        // Closed before it began: no event will come, unless the close has seen that somebody waits.
        if (closed && (Interlocked.And(ref _state, ~Starting) & Starting) != 0)
        {
            CompleteStart(asynchronously: true);
        }
    }

    private void CompleteStart(bool asynchronously)
    {
        StartSignal start = _start!;
        _start = null;
        start.Complete(asynchronously);
    }

    /// <summary>
    /// Begins to wait for an edge; or, to let others have their turn, for the next look at what is there already. Answers whether
    /// there is something to wait for.
    /// </summary>
    private bool TryWait(bool yield)
    {
        Register(EpollEvents.None);
        int before = Volatile.Read(ref _state);
        while (true)
        {
            if ((before & Closed) != 0 || (!yield && (before & Readable) != 0))
            {
                return false;
            }

            int seen = Interlocked.CompareExchange(ref _state, (before & ~Readable) | ReceiveWaiting, before);
            if (seen == before)
            {
                break;
            }

            before = seen;
        }

        if (yield)
        {
            Rearm();
        }

        return true;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> SendLaterAsync(ReadOnlySequence<byte> source, bool yield)
    {
        int sent = -Errno.TryAgain;
        while (true)
        {
            if (sent == -Errno.TryAgain)
            {
                await WaitToSendAsync(yield).ConfigureAwait(false);
            }
            else
            {
                // The kernel has no memory for it. Nothing tells when it has some again.
                await Task.Delay(10).ConfigureAwait(false);
            }

            yield = false;
            sent = TrySend(source);
            if (sent > 0)
            {
                return sent;
            }

            if (!IsTransient(sent))
            {
                throw SocketErrors.ToConnectionException(-sent);
            }
        }
    }

    private ValueTask WaitToSendAsync(bool yield)
    {
        Signal signal = _send ??= new Signal();
        signal.Reset();
        short version = signal.Version;
        try
        {
            WatchOut();
            int before = Volatile.Read(ref _state);
            while (true)
            {
                if ((before & Closed) != 0 || (!yield && (before & Writable) != 0))
                {
                    return default;
                }

                int seen = Interlocked.CompareExchange(ref _state, (before & ~Writable) | SendWaiting, before);
                if (seen == before)
                {
                    break;
                }

                before = seen;
            }

            if (yield)
            {
                Rearm();
            }

            return new ValueTask(signal, version);
        }
        catch (Exception error)
        {
            return ValueTask.FromException(error);
        }
    }

    private int TryReceive(Span<byte> destination)
    {
        bool held = false;
        try
        {
            int descriptor = Acquire(ref held);
            Interlocked.And(ref _state, ~Readable);
            bool stopped = false;
            int received = _isUnix ? LibC.Receive(descriptor, destination, out stopped) : LibC.Receive(descriptor, destination);
            if (received > 0)
            {
                _receivedInTurn += received;
                if (received == destination.Length || stopped || (Volatile.Read(ref _state) & Hung) != 0)
                {
                    Interlocked.Or(ref _state, Readable);
                }
            }
            else if (received == 0 && (_isReset || (!_shutdown && !_isUnix && IsReset() && !_shutdown)))
            {
                // Asked again behind the look: a shutdown within it may have closed an ended connection as quietly as a reset does.
                received = -Errno.ConnectionReset;
            }

            return received;
        }
        catch (ObjectDisposedException)
        {
            return -Errno.BadDescriptor;
        }
        finally
        {
            Release(held);
        }
    }

    private int TrySend(in ReadOnlySequence<byte> source)
    {
        bool held = false;
        try
        {
            int descriptor = BeginSend(ref held);
            return Counted(source.IsSingleSegment ? LibC.Send(descriptor, source.FirstSpan) : SendPieces(descriptor, source, default));
        }
        catch (ObjectDisposedException)
        {
            return -Errno.BadDescriptor;
        }
        finally
        {
            Release(held);
        }
    }

    private int BeginSend(ref bool held)
    {
        int descriptor = Acquire(ref held);
        if ((Volatile.Read(ref _state) & Writable) != 0)
        {
            Interlocked.And(ref _state, ~Writable);
        }

        return descriptor;
    }

    private int Counted(int sent)
    {
        _sentInTurn += Math.Max(0, sent);
        _isReset |= sent == -Errno.ConnectionReset;
        return sent;
    }

    private static unsafe int SendPieces(int descriptor, in ReadOnlySequence<byte> source, ReadOnlySpan<byte> more)
    {
        Pins pins = default;
        LibC.Piece* pieces = stackalloc LibC.Piece[MostPieces + 1];
        int count = 0;
        try
        {
            bool all = true;
            foreach (ReadOnlyMemory<byte> segment in source)
            {
                if (count == MostPieces)
                {
                    all = false;
                    break;
                }

                if (!segment.IsEmpty)
                {
                    pins[count] = segment.Pin();
                    pieces[count] = new LibC.Piece { Start = (byte*)pins[count].Pointer, Length = (nuint)segment.Length };
                    count++;
                }
            }

            fixed (byte* start = more)
            {
                bool both = all && !more.IsEmpty;
                if (both)
                {
                    pieces[count] = new LibC.Piece { Start = start, Length = (nuint)more.Length };
                }

                return LibC.Send(descriptor, new ReadOnlySpan<LibC.Piece>(pieces, both ? count + 1 : count));
            }
        }
        finally
        {
            for (int i = 0; i < count; i++)
            {
                pins[i].Dispose();
            }
        }
    }

    private void Register(EpollEvents more)
    {
        if (Volatile.Read(ref _isRegistered))
        {
            return;
        }

        lock (_descriptor)
        {
            if (_isRegistered || (_state & Closed) != 0)
            {
                return;
            }

            _watchesOut = more != EpollEvents.None;
            _registration = _loop.Add(
                (int)_descriptor.DangerousGetHandle(), EpollEvents.In | EpollEvents.PeerHangUp | more, this);
            Volatile.Write(ref _isRegistered, true);
        }
    }

    /// <summary>Watches for room to send from now on; room that is there already is told at once.</summary>
    private void WatchOut()
    {
        if (Volatile.Read(ref _watchesOut))
        {
            return;
        }

        Register(EpollEvents.None);
        lock (_descriptor)
        {
            _watchesOut = true;
            RearmLocked();
        }
    }

    private void StopWatchingOut()
    {
        lock (_descriptor)
        {
            _watchesOut = (_state & SendWaiting) != 0;
            RearmLocked();
        }
    }

    private void Rearm()
    {
        lock (_descriptor)
        {
            RearmLocked();
        }
    }

    private void RearmLocked()
    {
        if ((_state & Closed) == 0)
        {
            _loop.Change(
                (int)_descriptor.DangerousGetHandle(),
                EpollEvents.In | EpollEvents.PeerHangUp | (_watchesOut ? EpollEvents.Out : EpollEvents.None),
                _registration);
        }
    }

    /// <summary>As <see cref="Sockets.SocketState.IsReset"/>.</summary>
    private bool IsReset()
    {
        Span<byte> state = stackalloc byte[1];
        return GetOption(SocketConstants.IpProtoTcp, SocketConstants.TcpInfo, state) && state[0] == SocketConstants.TcpClose;
    }

    private bool GetOption(int level, int name, Span<byte> value)
    {
        bool held = false;
        try
        {
            return LibC.GetOption(Acquire(ref held), level, name, value) == 0;
        }
        catch (ObjectDisposedException)
        {
            return false;
        }
        finally
        {
            Release(held);
        }
    }

    private UnixCredentials? ReadPeerCredentials()
    {
        Span<byte> ucred = stackalloc byte[SocketConstants.CredentialsSize];
        return GetOption(SocketConstants.SolSocket, SocketConstants.SoPeerCred, ucred) ? UnixPeerCredentials.From(ucred) : null;
    }

    private EndPoint? ReadLocalEndPoint()
    {
        Span<byte> address = stackalloc byte[SocketConstants.AddressSize];
        bool held = false;
        try
        {
            return LibC.LocalAddress(Acquire(ref held), address) == 0 ? Plain(PeerAddress.ToEndPoint(address)) : null;
        }
        catch (ObjectDisposedException)
        {
            return null;
        }
        finally
        {
            Release(held);
        }
    }

    private Socket Expose()
    {
        bool held = false;
        try
        {
            return new Socket(new SafeSocketHandle(LibC.Duplicate(Acquire(ref held)), ownsHandle: true));
        }
        finally
        {
            Release(held);
        }
    }

    private int Acquire(ref bool held)
    {
        _descriptor.DangerousAddRef(ref held);
        return (int)_descriptor.DangerousGetHandle();
    }

    private void Release(bool held)
    {
        if (held)
        {
            _descriptor.DangerousRelease();
        }
    }

    private static bool IsTransient(int sent) => -sent is Errno.TryAgain or Errno.NoBuffers or Errno.NotEnoughMemory;

    [InlineArray(MostPieces)]
    private struct Pins
    {
        private MemoryHandle _first;
    }

    /// <summary>What a start waits on. Only when somebody does, it begins: else the handler's first line ran wherever that was.</summary>
    private sealed class StartSignal(EpollChannel channel) : Signal
    {
        public override void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
        {
            base.OnCompleted(continuation, state, token, flags);
            channel.Begin();
        }
    }

    /// <summary>What a send waits on, and a receive that nobody is called for.</summary>
    private class Signal : IValueTaskSource
    {
        private ManualResetValueTaskSourceCore<bool> _core;

        public short Version => _core.Version;

        public void Reset() => _core.Reset();

        public void Complete(bool asynchronously)
        {
            _core.RunContinuationsAsynchronously = asynchronously;
            _core.SetResult(true);
        }

        public void Fail(Exception error)
        {
            _core.RunContinuationsAsynchronously = true;
            _core.SetException(error);
        }

        public void GetResult(short token) => _core.GetResult(token);

        public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

        public virtual void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _core.OnCompleted(continuation, state, token, flags);
    }
}
