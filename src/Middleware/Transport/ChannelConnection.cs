using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace ByteStreams.Transport;

/// <summary>One connection over any <see cref="ByteChannel"/>: the pipe, its half-close, its close and its end.</summary>
internal sealed partial class ChannelConnection : ConnectionContext, IDuplexPipe, IByteStreamTransportFeature, IConnectionProgress,
    IConnectionIdFeature, IConnectionItemsFeature, IConnectionTransportFeature, IConnectionEndPointFeature,
    IConnectionLifetimeFeature, IConnectionSocketFeature, IUnixPeerFeature, IMemoryPoolFeature, IKestrelConventions, IOrderlyReset, IInputOwner,
    IOutputOwner, ILingering
{
    private static long _lastId = DateTime.UtcNow.Ticks;

    // Also the lock of the state below: nobody else locks it, and a lock of its own would cost each idle connection 40 bytes.
    private readonly ByteChannel _channel;
    private readonly ChannelReader _input;
    private readonly ChannelWriter _output;
    private readonly ByteStreamTransportOptions _options;

    private TaskCompletionSource? _closed;
    private Linger? _linger;
    private volatile ConnectionEndReason _reason;
    private bool _followsKestrel;
    private bool _peerEnded;
    private bool _isClosing;
    private bool _isClosed;

    // A send has failed, and a receive in flight still brings what has arrived before.
    private bool _isLosing;
    private long _firstByteAt;
    private ClosedSource? _closedSource;
    private IEndObserver? _endObserver;
    private bool _reportsLoss;
    private IDictionary<object, object?>? _items;
    private EndPoint? _local;
    private EndPoint? _remote;
    private string? _id;

    public ChannelConnection(
        ByteChannel channel, EndPoint? local, EndPoint? remote, ByteStreamTransportOptions options)
    {
        _channel = channel;
        _input = new ChannelReader(channel, options.ReceiveBlock, this);
        _output = new ChannelWriter(channel, options.WriteBufferHighWater, options.WriteBufferLowWater, this);
        _options = options;
        _local = local;
        _remote = remote;
        _followsKestrel = options.FollowsKestrel;
        _output.CoalescesFlushes = options.FollowsKestrel;
        Transport = this;
    }

    /// <summary>The options of the server or client that it belongs to.</summary>
    public ByteStreamTransportOptions Options => _options;

    public override string ConnectionId
    {
        get
        {
            if (_id is null)
            {
                // Whoever lists connections asks from another thread, maybe as the first one: all get the same.
                string id = Interlocked.Increment(ref _lastId).ToString("X", System.Globalization.CultureInfo.InvariantCulture);
                Interlocked.CompareExchange(ref _id, id, null);
            }

            return _id;
        }
        set => _id = value;
    }

    /// <summary>Whether anybody has asked for its id, which only then has one.</summary>
    public bool HasConnectionId => _id is not null;

    public override IDictionary<object, object?> Items
    {
        get => _items ??= new ConnectionItems();
        set => _items = value;
    }

    public override IDuplexPipe Transport { get; set; }

    public override EndPoint? LocalEndPoint
    {
        get => _local ??= (_channel as SocketByteChannel)?.LocalEndPoint;
        set => _local = value;
    }

    public override EndPoint? RemoteEndPoint
    {
        get => _remote ??= SocketPeer;
        set => _remote = value;
    }

    /// <summary>Whether the peer's address is known without asking the socket, or was set to another one.</summary>
    public bool HasRemoteEndPoint => _remote is not null;

    /// <summary>The peer's address as the socket has it, whatever <see cref="RemoteEndPoint"/> was set to.</summary>
    public EndPoint? SocketPeer => (_channel as SocketByteChannel)?.RemoteEndPoint;

    /// <summary>
    /// This side's address as the socket has it, whatever <see cref="LocalEndPoint"/> was set to; null where there is none, or a PROXY header
    /// has replaced that of a Unix socket.
    /// </summary>
    public EndPoint? SocketLocal => (_channel as SocketByteChannel)?.LocalEndPoint ?? _local as UnixDomainSocketEndPoint;

    /// <summary>
    /// Fires when the connection is closed; not at the peer's FIN, after which replies can still be sent, except as <see cref="FollowsKestrel"/>.
    /// </summary>
    /// <remarks>Middleware may set a token of its own, as on Kestrel's transport; this one goes on firing.</remarks>
    public override CancellationToken ConnectionClosed
    {
        get => Closed().Shown;
        set => Closed().Shown = value;
    }

    /// <summary>
    /// Whether it is as Kestrel's HTTP expects: <see cref="ConnectionClosed"/> fires at the peer's FIN as well, which is noticed from the
    /// token's first use on although nothing is read, and small flushes are sent together. A pair of reader and writer ends it.
    /// </summary>
    public bool FollowsKestrel
    {
        get => _followsKestrel;
        set
        {
            _followsKestrel = value;
            _output.CoalescesFlushes = value;
        }
    }

    MemoryPool<byte> IMemoryPoolFeature.MemoryPool => _options.MemoryPool;

    /// <summary>Null after the close where the engine has none; the interface has no way to say so.</summary>
    public Socket Socket => ((SocketByteChannel)_channel).Socket!;

    public UnixCredentials? PeerCredentials => ((SocketByteChannel)_channel).PeerCredentials;

    PipeReader IDuplexPipe.Input => _input;

    PipeWriter IDuplexPipe.Output => _output;

    public bool CanWriteEof => true;

    public long BytesReceived => _input.BytesReceived;

    public long BytesSent => _output.BytesSent;

    public ConnectionEndReason EndReason => _reason;

    public (int HighWater, int LowWater) WriteBufferLimits
    {
        get => _output.Limits;
        set => _output.SetLimits(value.HighWater, value.LowWater);
    }

    public long WriteBufferSize => _output.Queued + _output.UnflushedBytes;

    long IInputOwner.RoomForAnswers => _output.RoomForAnswers;

    long IInputOwner.BufferedOutput => WriteBufferSize;

    bool IConnectionProgress.IsWaitingForInput => _input.IsWaiting;

    bool IConnectionProgress.IsSendWaiting => _output.IsSending;

    long IConnectionProgress.InputReceived => _input.BytesReceived;

    long IConnectionProgress.BufferedInput => _input.Buffered;

    bool IConnectionProgress.IsInputEnded => Volatile.Read(ref _peerEnded);

    bool IConnectionProgress.IsOutputEnded => _output.IsCompleted;

    bool IConnectionProgress.IsClosed => Volatile.Read(ref _isClosed);

    long IConnectionProgress.FirstByteAt => Volatile.Read(ref _firstByteAt);

    IProgressObserver? IConnectionProgress.Observer => _input.Observer ?? _output.Observer;

    bool IConnectionProgress.HasEndArrived => Volatile.Read(ref _peerEnded) || _channel.HasEndArrived;

    bool IConnectionProgress.ReportsLoss => _reportsLoss;

    /// <summary>The event loop that serves it; null where none does.</summary>
    public EventLoop? Loop => (_channel as EpollChannel)?.Loop;

    /// <summary>Bytes that the channel has taken and that the peer's side has not acknowledged.</summary>
    public int Unacknowledged => _channel.Unacknowledged;

    /// <summary>Completes where the connection's handler should run; to be awaited before its first line.</summary>
    public ValueTask StartAsync() => _channel.StartAsync();

    /// <summary>Whoever cancels this token calls <see cref="CancelRead"/> behind that, so that reads need not register with it.</summary>
    public void WillCancelReads(CancellationToken token) => _input.WillCancel(token);

    /// <summary>Cancels the read that waits with this token, if one does. The token has fired already.</summary>
    public void CancelRead(CancellationToken token) => _input.CancelWait(token);

    void IConnectionProgress.Observe(IProgressObserver observer, bool input, bool output)
    {
        _input.Observer = input ? observer : null;
        _output.Observer = output ? observer : null;
    }

    void IConnectionProgress.ObserveEnd(IEndObserver? observer)
    {
        // A full fence: what ends the connection sets the reason and then looks for the observer.
        Interlocked.Exchange(ref _endObserver, observer);
        if (observer is null)
        {
            return;
        }

        _reportsLoss = _input.ReportLoss();
        if (_reason != ConnectionEndReason.None)
        {
            observer.OnEnding();
        }
    }

    void IConnectionProgress.LookForLoss() => ((IInputOwner)this).OnLossReported();

    public override void Abort() => Abort(ConnectionEndReason.Aborted, null);

    /// <summary>Aborts with a reset; without a reason, as Kestrel does where the client has left, with a FIN.</summary>
    public override void Abort(ConnectionAbortedException abortReason) =>
        Abort(ConnectionEndReason.Aborted, abortReason, drops: false, resets: abortReason is not null || !FollowsKestrel);

    public void Abort(ConnectionEndReason reason, Exception? cause = null) => Abort(reason, cause, drops: false);

    /// <param name="reason">As <see cref="EndReason"/>.</param>
    /// <param name="cause">What reads and flushes fail with, inside a <see cref="ConnectionAbortedException"/>; may be null.</param>
    /// <param name="drops">Whether a layer above drops written bytes as well.</param>
    /// <param name="resets">Whether the peer sees a reset.</param>
    public void Abort(ConnectionEndReason reason, Exception? cause, bool drops, bool resets = true)
    {
        ConnectionAbortedException aborted = cause as ConnectionAbortedException
            ?? new ConnectionAbortedException("The connection was aborted from this side.", cause!);
        bool dropped = cause is not null && (drops || WriteBufferSize > 0);
        if (TryEnd(reason))
        {
            _input.Fail(aborted);
            _output.Fail(aborted);
            if (resets)
            {
                _channel.Reset();
            }
            else
            {
                _channel.Close();
            }

            // A plain abort drops what it drops. One that has a cause is not the writer's own: who waits for the close learns of the bytes.
            End(!dropped ? null : cause is TimeoutException ? cause : aborted);
        }
    }

    public async Task AbortWhenSentAsync(ConnectionEndReason reason, Exception? cause, bool waitsForSlowPeer)
    {
        await Delivery.WaitAsync(
            _output.FlushAllAsync,
            () => _channel.DeliversBeforeReset || _channel.Unacknowledged == 0,
            waitsForSlowPeer ? () => _output.BytesSent - _channel.Unacknowledged : null,
            waitsForSlowPeer || _options.LingerTimeout > Delivery.LongestWait ? Delivery.LongestWait : _options.LingerTimeout,
            _options.TimeProvider).ConfigureAwait(false);
        Abort(reason, cause);
    }

    public Task WaitClosedAsync()
    {
        // What is received for somebody who only waits for the end: as much as asyncio does before it pauses.
        _input.Watch(_options.ReceiveBlock);
        return WaitForEnd().Task;
    }

    Task IConnectionProgress.OutputFinished => _output.IsFinished ? Task.CompletedTask : _output.Finished;

    /// <summary>Closes, and waits until the channel has taken what was written. The linger goes on by itself: <see cref="WaitClosedAsync"/> waits for it.</summary>
    public override async ValueTask DisposeAsync()
    {
        Close(ConnectionEndReason.None);
        _output.Complete();
        if (!_output.IsFinished)
        {
            await _output.Finished.ConfigureAwait(false);
        }

        _input.Complete();
        await base.DisposeAsync().ConfigureAwait(false);
    }

    public void Close(ConnectionEndReason reason = ConnectionEndReason.None)
    {
        lock (_channel)
        {
            if (_isClosing || _isClosed)
            {
                return;
            }

            _isClosing = true;
            if (_reason == ConnectionEndReason.None)
            {
                _reason = reason != ConnectionEndReason.None ? reason
                    : _peerEnded ? ConnectionEndReason.ClosedByPeer
                    : ConnectionEndReason.ClosedLocally;
            }
        }

        _output.Complete();
        if (_output.IsFinished)
        {
            BeginLinger();
        }
        else
        {
            _ = LingerWhenSentAsync();
        }

        ReportEnding();
    }

    private async Task LingerWhenSentAsync()
    {
        // Leave the lock and the caller's stack: Close returns at once, however much arrives.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);

        // A peer that reads nothing before it has sent everything must be able to send: as long as the reply has not left,
        // whatever arrives is received without a bound, and discarded.
        _input.Discard(long.MaxValue);
        await _output.Finished.ConfigureAwait(false);
        BeginLinger();
    }

    /// <summary>
    /// The kernel has the whole reply. Where the peer has ended, as most clients have, it delivers the reply also after the socket is
    /// closed, because nothing is unread that would make a reset of it.
    /// </summary>
    private void BeginLinger()
    {
        if (_input.IsEnded || _options.LingerTimeout == TimeSpan.Zero)
        {
            EndClosed(null);
            return;
        }

        Linger linger = new(this, _channel, _options);
        lock (_channel)
        {
            if (_isClosed)
            {
                return;
            }

            _linger = linger;
        }

        linger.Begin();
        if (_input.IsEnded || Volatile.Read(ref _isClosed))
        {
            // The peer has ended, or an abort has come, before the linger could be seen.
            EndClosed(null);
            linger.End();
        }
    }

    void ILingering.Discard(long bytes) => _input.Discard(_input.Discarded + bytes);

    void ILingering.OnLingered(int unacknowledged) => EndClosed(unacknowledged == 0 ? null : new TimeoutException(
        $"The peer did not acknowledge {unacknowledged} of the bytes that were written within LingerTimeout ({_options.LingerTimeout.TotalSeconds:0.###} s)."));

    private void EndClosed(Exception? unacknowledged)
    {
        // First the right to end, then the end: closing the channel fails what is in flight, which must not look like a
        // loss; and a loss or an abort that came before reports its own cause.
        if (TryEnd(_reason))
        {
            var closed = new ConnectionAbortedException("The connection was closed from this side.");
            _input.Fail(closed);
            _output.Fail(closed);
            _channel.Close();
            End(unacknowledged);
        }
    }

    void IInputOwner.OnInputBegun() => Volatile.Write(ref _firstByteAt, _options.TimeProvider.GetTimestamp());

    void IInputOwner.OnInputEnded(Exception? loss)
    {
        if (loss is not null)
        {
            // Not the echo of a close or an abort from this side.
            if (loss is not ConnectionAbortedException)
            {
                OnInputLost(loss);
            }

            return;
        }

        ClosedSource? source = null;
        lock (_channel)
        {
            _peerEnded = true;
            if (_followsKestrel)
            {
                source = _closedSource;
            }
        }

        _ = source?.CancelAsync();
        if (Volatile.Read(ref _linger) is not null)
        {
            EndClosed(null);
        }
    }

    void IInputOwner.OnLossReported()
    {
        if (_channel.FindLoss() is Exception loss)
        {
            Lose(loss);
        }
    }

    void IInputOwner.OnDiscarded() => Volatile.Read(ref _linger)?.OnDiscarded();

    void IOutputOwner.OnOutputLost(Exception loss)
    {
        if (loss is ConnectionAbortedException aborted)
        {
            Abort(aborted);
        }
        else
        {
            Lose(loss);
        }
    }

    private void Lose(Exception loss)
    {
        if (loss is ConnectionAbortedException)
        {
            // The echo of our own close or abort.
            return;
        }

        if (TryEnd(ReasonOf(loss)))
        {
            _output.Fail(loss);
            Volatile.Write(ref _isLosing, true);
            if (_input.FailAfterReceived(loss))
            {
                FinishLoss(loss);
            }
            else
            {
                ReportEnding();
            }
        }
    }

    private void OnInputLost(Exception loss)
    {
        if (Volatile.Read(ref _isLosing))
        {
            // The rest has been received.
            FinishLoss(loss);
        }
        else if (TryEnd(ReasonOf(loss)))
        {
            _output.Fail(loss);
            FinishLoss(loss);
        }
    }

    private void FinishLoss(Exception loss)
    {
        _channel.Close();
        End(loss);
    }

    private static ConnectionEndReason ReasonOf(Exception loss) =>
        SocketErrors.IsTimeout(loss) ? ConnectionEndReason.TimedOut : ConnectionEndReason.ResetByPeer;

    /// <summary>Takes the right to end the connection abruptly, also while it is closing.</summary>
    private bool TryEnd(ConnectionEndReason reason)
    {
        lock (_channel)
        {
            if (_isClosed)
            {
                return false;
            }

            _isClosed = true;
            // A loss tells what became of a clean close; what was refused or has failed was not ended by the peer's reset behind that.
            if (_reason is ConnectionEndReason.None or ConnectionEndReason.ClosedByPeer or ConnectionEndReason.ClosedLocally or ConnectionEndReason.Drained)
            {
                _reason = reason;
            }

            return true;
        }
    }

    /// <summary>What waits for the end, made for the first that does, at the latest for the end itself.</summary>
    private TaskCompletionSource WaitForEnd()
    {
        lock (_channel)
        {
            return _closed ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    /// <summary>The token of the close, made at its first use. Its callbacks run on the thread pool: what notices the end may be a receiving thread.</summary>
    private ClosedSource Closed()
    {
        ClosedSource? source = Volatile.Read(ref _closedSource);
        if (source is not null)
        {
            return source;
        }

        bool watch;
        lock (_channel)
        {
            source = _closedSource ??= new ClosedSource();
            if (_isClosed || (_followsKestrel && _peerEnded))
            {
                _ = source.CancelAsync();
            }

            watch = _followsKestrel && !_isClosed;
        }

        if (watch)
        {
            _input.Watch(_options.ReceiveBlock);
        }

        return source;
    }

    private void End(Exception? failure)
    {
        ClosedSource? source;
        Linger? linger;
        lock (_channel)
        {
            _isClosed = true;
            source = _closedSource;
            linger = _linger;
        }

        linger?.End();
        TaskCompletionSource closed = WaitForEnd();
        if (failure is null)
        {
            closed.TrySetResult();
        }
        else if (closed.TrySetException(failure))
        {
            // Nothing has to wait for the close; the reader and the writer throw the same cause.
            _ = closed.Task.Exception;
        }

        _ = source?.CancelAsync();
        ReportEnding();
    }

    private void ReportEnding()
    {
        Interlocked.MemoryBarrier();
        _endObserver?.OnEnding();
    }

    /// <summary>
    /// The source of the connection's own token, and the token that is shown: middleware may have set another. It is never disposed: it has
    /// no timer, and a late registration has to find that it has fired.
    /// </summary>
    private sealed class ClosedSource : CancellationTokenSource
    {
        public ClosedSource() => Shown = Token;

        public CancellationToken Shown { get; set; }
    }
}
