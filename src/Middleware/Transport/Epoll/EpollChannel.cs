using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using ByteStreams.Transport.Interop;
using ByteStreams.Transport.Unix;

namespace ByteStreams.Transport.Epoll;

/// <summary>A connected stream socket on an <see cref="EventLoop"/>: the engine for Linux.</summary>
/// <remarks>
/// Registered once and edge-triggered: an edge sets a flag, and a call clears it before it looks. A receive that was short has
/// emptied the socket, so that the next one waits for an edge without a call. What waits continues inline on the loop's thread;
/// after a close, on the thread pool.
/// </remarks>
internal sealed class EpollChannel : SocketByteChannel, IEventSink
{
    /// <summary>
    /// The most that one dispatch receives, and that it sends, before the loop's other connections are served (F10). Four of the largest
    /// blocks, so that it costs a bulk transfer one system call in four.
    /// </summary>
    private const int DispatchBytes = 1 << 20;

    private readonly PeerAddress _peer;
    private readonly bool _isUnix;
    private readonly bool _takesDescriptors;
    private AtomicFlags<Readiness> _readiness;

    // Guards the exposed socket against the close. Next to the other word: the structs with references are aligned to 8 bytes.
    private ThinLock _gate;
    private LoopRegistration _registration;
    private BlockingPolicy _policy;

    // The own address, or the credentials of the peer on a Unix socket, which has no address: one field for both is 8 bytes of each
    // idle connection. Read when first asked for, at the latest at the close.
    private object? _identity;
    private Socket? _exposed;
    private volatile bool _isShutDown;

    // A Unix socket reports a reset once; after a send that it was reported to, a receive reads it as an end.
    private volatile bool _isReset;
    private int _receivedInDispatch;
    private int _sentInDispatch;

    // Made at first use: a socket is seldom full.
    private EpollSignal? _send;
    private EpollStartSignal? _start;
    private IReceiver? _receiver;

    /// <param name="loop">The loop that its handler runs on.</param>
    /// <param name="descriptor">The connected socket; this closes it.</param>
    /// <param name="isUnix">Whether it is of the address family AF_UNIX.</param>
    /// <param name="peer">The peer's address.</param>
    /// <param name="local">The own address where it is known; null to ask the socket. Null for a Unix socket.</param>
    /// <param name="takesDescriptors">Whether the peer can pass descriptors (<see cref="PassedDescriptors"/>).</param>
    /// <param name="suspicion">Per-listener record of blocking handlers; null for outbound connections.</param>
    public EpollChannel(
        EventLoop loop, Descriptor descriptor, bool isUnix, in PeerAddress peer, EndPoint? local, bool takesDescriptors, BlockingSuspicion? suspicion)
    {
        _registration = new LoopRegistration(loop, descriptor);
        _policy = new BlockingPolicy(suspicion);
        _isUnix = isUnix;
        _takesDescriptors = takesDescriptors;
        _peer = peer;
        _identity = local;
    }

    public EventLoop Loop => _registration.Loop;

    public override EndPoint? LocalEndPoint => _isUnix ? null : (EndPoint?)Identity;

    public override EndPoint? RemoteEndPoint => _isUnix ? null : Plain(PeerAddress.ToEndPoint(_peer));

    public override nint Number => Descriptor.DangerousGetHandle();

    public override Socket? Socket
    {
        get
        {
            using (_gate.Enter())
            {
                return _exposed ??= IsClosed ? null : Descriptor.Duplicate();
            }
        }
    }

    public override UnixCredentials? PeerCredentials => _isUnix ? (UnixCredentials?)Identity : null;

    private object? Identity => _identity ??= _isUnix ? Descriptor.PeerCredentials : Plain(Descriptor.LocalEndPoint);

    public override int Unacknowledged
    {
        get
        {
            int bytes = Descriptor.Unacknowledged;
            // TCP counts its FIN as one more.
            return _isShutDown && bytes > 0 && !_isUnix ? bytes - 1 : bytes;
        }
    }

    public override bool DeliversBeforeReset => _isUnix;

    // A duplicate keeps the connection open after the close.
    public override bool CloseSendsEnd => Volatile.Read(ref _exposed) is null;

    public override long Arrived => Descriptor.Arrived;

    public override bool CallsReceiver => true;

    public override bool HasEndArrived => _readiness.HasAny(Readiness.HungUp);

    public override bool HasPeerEnded => _readiness.HasAny(Readiness.HungUp | Readiness.Closed);

    private Descriptor Descriptor => _registration.Descriptor;

    private bool IsClosed => _readiness.HasAny(Readiness.Closed);

    /// <summary>Whether the other connections of the loop are served before this one receives again.</summary>
    private bool MustYieldReceiving => _receivedInDispatch >= DispatchBytes && LoopDispatch.Current is not null;

    private bool MustYieldSending => _sentInDispatch >= DispatchBytes && LoopDispatch.Current is not null;

    /// <summary>
    /// Completes on the loop's thread, so that the connection's handler runs there from its first line. Adding the registration
    /// brings an event at once, because a new socket is writable: nothing else has to wake the loop.
    /// </summary>
    public override ValueTask StartAsync() => (_start = new EpollStartSignal(this)).Task;

    /// <summary>A continuation waits for the start.</summary>
    public void BeginStart()
    {
        bool closed = (_readiness.Set(Readiness.StartWaits) & Readiness.Closed) != 0;
        try
        {
            _registration.Add(this, watchesOutput: true);
        }
        catch (SocketException error)
        {
            _readiness.Clear(Readiness.StartWaits);
            _start!.Fail(error);
            return;
        }

        // Closed before it began: no event will come, unless the close has seen that the start waits.
        if (closed && (_readiness.Clear(Readiness.StartWaits) & Readiness.StartWaits) != 0)
        {
            CompleteStart(asynchronously: true);
        }
    }

    public override bool ReportLoss(IReceiver receiver)
    {
        _receiver = receiver;
        _registration.Add(this, watchesOutput: false);
        if ((_readiness.Set(Readiness.ReportsFailure) & Readiness.Failed) != 0)
        {
            receiver.OnLost();
        }

        return true;
    }

    public override Exception? FindLoss()
    {
        int error = IsClosed ? 0 : Descriptor.TakePendingError();
        // The system reports it once: a receive reads the reset as an end from now on.
        _isReset |= error == Errno.ConnectionReset;
        return error == 0 ? null : SocketErrors.ToConnectionException(error);
    }

    public override bool WaitToReceive(IReceiver receiver)
    {
        bool yields = MustYieldReceiving;
        if (!yields && _readiness.HasAny(Readiness.Readable | Readiness.Closed))
        {
            return true;
        }

        _receiver = receiver;
        return !TryWaitToReceive(yields);
    }

    public override bool WaitToReceiveLater(IReceiver receiver)
    {
        _receiver = receiver;
        return !TryWaitToReceive(yields: true);
    }

    public override bool TryReceive(Span<byte> destination, out int received, out Exception? loss)
    {
        received = TryReceive(destination);
        loss = received >= 0 || received == -Errno.TryAgain ? null : SocketErrors.ToConnectionException(-received);
        return received != -Errno.TryAgain;
    }

    public override ValueTask<int> SendAsync(ReadOnlySequence<byte> source)
    {
        if (MustYieldSending)
        {
            return SendLaterAsync(source, yields: true);
        }

        int sent = Send(source, default);
        return sent > 0 ? new ValueTask<int>(sent)
            : IsTransient(sent) ? SendLaterAsync(source, yields: false)
            : ValueTask.FromException<int>(SocketErrors.ToConnectionException(-sent));
    }

    public override int TrySend(in ReadOnlySequence<byte> queued, ReadOnlySpan<byte> more) =>
        MustYieldSending ? 0 : Math.Max(0, Send(queued, more));

    public override ValueTask ShutdownSendAsync()
    {
        _isShutDown = true;
        int error = Descriptor.ShutdownSend();
        return error == 0 ? default : ValueTask.FromException(SocketErrors.ToConnectionException(error));
    }

    public override void Reset()
    {
        // A Unix socket has no reset of its own: its peer sees ECONNRESET if bytes were left unread here, else the end.
        Descriptor.LingerZero();
        Close();
    }

    public override void Close()
    {
        if ((_readiness.Set(Readiness.Closed) & Readiness.Closed) != 0)
        {
            return;
        }

        using (_gate.Enter())
        {
            _registration.Remove(isDuplicated: _exposed is not null);
            _exposed?.Dispose();
        }

        // One system call for a connection that was never asked, so that the answer is the same after its end.
        _ = Identity;
        Descriptor.Dispose();
        Readiness due = _readiness.Clear(Readiness.AllWaits) & Readiness.AllWaits;
        Complete(due, asynchronously: true);
    }

    void IEventSink.OnEvents(EpollEvents events)
    {
        (Readiness set, Readiness wakes) = EpollReadiness.From(events);
        Readiness before = _readiness.Change(set, clear: wakes);
        Readiness due = before & wakes;
        if (due != 0)
        {
            _receivedInDispatch = 0;
            _sentInDispatch = 0;
            if ((due & Readiness.StartWaits) != 0 && _isUnix)
            {
                // A Unix socket reports every block that the peer has read; from here on only a send that waits needs that.
                _registration.SetOutput(_readiness.HasAny(Readiness.SendWaits));
            }

            if (_policy.MayRunOnLoop)
            {
                Complete(due, asynchronously: false);
                _policy.OnRanOnLoop();
            }
            else
            {
                CompleteApart(due);
            }
        }

        if ((set & Readiness.Failed) != 0 && (before & (Readiness.ReportsFailure | Readiness.ReceiveWaits)) == Readiness.ReportsFailure)
        {
            _receiver!.OnLost();
        }
    }

    void IEventSink.OnBlocked() => _policy.OnBlocked();

    /// <summary>In a method of its own, so that the closure is made only here.</summary>
    private void CompleteApart(Readiness due) => BlockingHandlers.Shared.Run(_ =>
    {
        BlockingPolicy.Dispatch dispatch = BlockingPolicy.BeginApart();
        Complete(due, asynchronously: false);
        _policy.EndApart(dispatch);
    });

    private void Complete(Readiness due, bool asynchronously)
    {
        if ((due & Readiness.SendWaits) != 0)
        {
            _send!.Complete(asynchronously);
        }

        if ((due & Readiness.ReceiveWaits) != 0)
        {
            if (asynchronously)
            {
                ThreadPool.UnsafeQueueUserWorkItem(static receiver => receiver.OnReady(), _receiver!, preferLocal: false);
            }
            else
            {
                _receiver!.OnReady();
            }
        }

        // Last: what a handler does first may take a while, and a receive may wait at the same time where a close came before the start.
        if ((due & Readiness.StartWaits) != 0)
        {
            CompleteStart(asynchronously);
        }
    }

    private void CompleteStart(bool asynchronously)
    {
        EpollStartSignal start = _start!;
        _start = null;
        start.Complete(asynchronously);
    }

    /// <summary>Begins to wait for an edge, or for the loop's next look at what is there already.</summary>
    /// <returns>Whether a receive waits; false where it can be tried now.</returns>
    private bool TryWaitToReceive(bool yields)
    {
        _registration.Add(this, watchesOutput: false);
        Readiness unless = yields ? Readiness.Closed : Readiness.Closed | Readiness.Readable;
        if (!_readiness.TryChange(Readiness.ReceiveWaits, clear: Readiness.Readable, unless))
        {
            return false;
        }

        if (yields)
        {
            _registration.Rearm();
        }

        return true;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> SendLaterAsync(ReadOnlySequence<byte> source, bool yields)
    {
        int sent = -Errno.TryAgain;
        while (true)
        {
            if (sent == -Errno.TryAgain)
            {
                await WaitToSendAsync(yields).ConfigureAwait(false);
            }
            else
            {
                // The kernel has no memory for it, and does not report when it has some again.
                await Task.Delay(10).ConfigureAwait(false);
            }

            yields = false;
            sent = Send(source, default);
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

    private ValueTask WaitToSendAsync(bool yields)
    {
        EpollSignal signal = _send ??= new EpollSignal();
        signal.Reset();
        ValueTask wait = signal.Task;
        try
        {
            _registration.WatchOutput(this);
            Readiness unless = yields ? Readiness.Closed : Readiness.Closed | Readiness.Writable;
            if (!_readiness.TryChange(Readiness.SendWaits, clear: Readiness.Writable, unless))
            {
                return default;
            }

            if (yields)
            {
                _registration.Rearm();
            }

            return wait;
        }
        catch (Exception error)
        {
            return ValueTask.FromException(error);
        }
    }

    private int TryReceive(Span<byte> destination)
    {
        if (IsClosed)
        {
            // What a call would answer, without the exception by which the descriptor says so.
            return -Errno.BadDescriptor;
        }

        _readiness.Clear(Readiness.Readable);
        bool stopped = false;
        int received = _takesDescriptors ? Descriptor.Receive(destination, out stopped) : Descriptor.Receive(destination);
        if (received > 0)
        {
            _receivedInDispatch += received;
            if (received == destination.Length || stopped || _readiness.HasAny(Readiness.HungUp))
            {
                _readiness.Set(Readiness.Readable);
            }
        }
        else if (received == 0 && (_isReset || IsEndOfReset()))
        {
            received = -Errno.ConnectionReset;
        }

        return received;
    }

    /// <summary>Whether a TCP connection that reads as ended was reset. An event that has reported a FIN only has answered that.</summary>
    private bool IsEndOfReset()
    {
        if (_isUnix || _isShutDown || (_readiness.HasAny(Readiness.HungUp) && !_readiness.HasAny(Readiness.Over)))
        {
            return false;
        }

        // Asked again after the look: a shutdown within it may have closed an ended connection as quietly as a reset does.
        return Descriptor.IsReset && !_isShutDown;
    }

    private int Send(in ReadOnlySequence<byte> queued, ReadOnlySpan<byte> more)
    {
        if (_readiness.HasAny(Readiness.Writable))
        {
            _readiness.Clear(Readiness.Writable);
        }

        int sent = Descriptor.Send(queued, more);
        _sentInDispatch += Math.Max(0, sent);
        _isReset |= sent == -Errno.ConnectionReset;
        return sent;
    }

    private static bool IsTransient(int sent) => -sent is Errno.TryAgain or Errno.NoBuffers or Errno.NotEnoughMemory;
}
