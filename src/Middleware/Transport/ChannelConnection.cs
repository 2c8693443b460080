using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using ByteStreams.Telemetry;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace ByteStreams.Transport;

/// <summary>One connection over any <see cref="ByteChannel"/>: the pipe, its half-close, its close and its end.</summary>
internal sealed partial class ChannelConnection : ConnectionContext, IDuplexPipe, IByteStreamTransportFeature, IConnectionProgress,
    IConnectionIdFeature, IConnectionItemsFeature, IConnectionTransportFeature, IConnectionEndPointFeature,
    IConnectionLifetimeFeature, IConnectionSocketFeature, IUnixPeerFeature, IInputOwner, IOutputOwner
{
    /// <summary>The linger time's slices: 20 of 100 ms by default, so that a peer with 16 MiB left to send gets rid of them.</summary>
    private const int LingerSlices = 20;

    private static long _lastId = DateTime.UtcNow.Ticks;

    // Also the lock of the state below: nobody else locks it, and a lock of its own would cost each idle connection 40 bytes.
    private readonly ByteChannel _channel;
    private readonly ChannelReader _input;
    private readonly ChannelWriter _output;
    private readonly ByteStreamTransportOptions _options;

    private TaskCompletionSource? _closed;
    private Task? _closing;
    private volatile ConnectionEndReason _reason;
    private bool _peerEnded;
    private bool _isClosed;
    private long _firstByteAt;
    private CancellationTokenSource? _closedSource;
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
        Transport = this;
    }

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

    /// <summary>Fires when the connection is closed for good; not at the peer's FIN, behind which replies can still be sent.</summary>
    public override CancellationToken ConnectionClosed
    {
        get
        {
            lock (_channel)
            {
                if (_closedSource is null)
                {
                    _closedSource = new CancellationTokenSource();
                    if (_isClosed)
                    {
                        _closedSource.Cancel();
                    }
                }

                return _closedSource.Token;
            }
        }
        set => throw new NotSupportedException("ConnectionClosed belongs to the transport.");
    }

    public Socket Socket => ((SocketByteChannel)_channel).Socket;

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

    bool IConnectionProgress.IsWaitingForInput => _input.IsWaiting;

    bool IConnectionProgress.IsSendWaiting => _output.IsSending;

    long IConnectionProgress.InputReceived => _input.BytesReceived;

    long IConnectionProgress.BufferedInput => _input.Buffered;

    bool IConnectionProgress.IsInputEnded => Volatile.Read(ref _peerEnded);

    bool IConnectionProgress.IsOutputEnded => _output.IsCompleted;

    bool IConnectionProgress.IsClosed => Volatile.Read(ref _isClosed);

    long IConnectionProgress.FirstByteAt => Volatile.Read(ref _firstByteAt);

    ConnectionRecord? IConnectionProgress.Record { get; set; }

    /// <summary>The event loop that serves it; null where none does.</summary>
    public EventLoop? Loop => (_channel as EpollChannel)?.Loop;

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

    public void Close(ConnectionEndReason reason = ConnectionEndReason.None) => _ = CloseAsync(reason);

    public override void Abort() => Abort(ConnectionEndReason.Aborted, null);

    public override void Abort(ConnectionAbortedException abortReason) => Abort(ConnectionEndReason.Aborted, abortReason);

    public void Abort(ConnectionEndReason reason, Exception? cause = null)
    {
        ConnectionAbortedException aborted = cause as ConnectionAbortedException
            ?? new ConnectionAbortedException("The connection was aborted from this side.", cause!);
        if (TryEnd(reason))
        {
            _input.Fail(aborted);
            _output.Fail(aborted);
            _channel.Reset();
            End(null);
        }
    }

    public Task WaitClosedAsync()
    {
        // What is received for somebody who only waits for the end: as much as asyncio does before it pauses.
        _input.Watch(_options.ReceiveBlock);
        return Closed().Task;
    }

    public override async ValueTask DisposeAsync()
    {
        await CloseAsync(ConnectionEndReason.None).ConfigureAwait(false);
        _output.Complete();
        _input.Complete();
        await base.DisposeAsync().ConfigureAwait(false);
    }

    private Task CloseAsync(ConnectionEndReason reason)
    {
        TaskCompletionSource closing;
        lock (_channel)
        {
            if (_closing is not null)
            {
                return _closing;
            }

            if (_isClosed)
            {
                return Task.CompletedTask;
            }

            if (_reason == ConnectionEndReason.None)
            {
                _reason = reason != ConnectionEndReason.None ? reason
                    : _peerEnded ? ConnectionEndReason.ClosedByPeer
                    : ConnectionEndReason.ClosedLocally;
            }

            // The source comes first: the close itself may end synchronously and look for it.
            closing = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _closing = closing.Task;
        }

        if (IsDone())
        {
            EndClosed();
            closing.SetResult();
        }
        else
        {
            _ = CloseCoreAsync(closing);
        }

        return closing.Task;
    }

    /// <summary>
    /// Whether nothing is left to wait for, as with most clients: the peer has ended, and the kernel has the whole reply, which it
    /// delivers also when the socket is closed, since there is nothing unread that would make a reset of it.
    /// </summary>
    private bool IsDone()
    {
        if (_channel is not SocketByteChannel || !_input.IsEnded || WriteBufferSize > 0)
        {
            return false;
        }

        _output.Complete();
        return _output.IsFinished;
    }

    private async Task CloseCoreAsync(TaskCompletionSource closing)
    {
        try
        {
            // Leave the lock and the caller's stack: Close returns at once, whatever a send or a receive does.
            await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
            _output.Complete();

            // A peer that will not read before it has sent everything must be able to send: as long as the reply has not left,
            // whatever arrives is received without a bound, and thrown away.
            _ = _input.DiscardAsync(long.MaxValue);
            await _output.Finished.ConfigureAwait(false);
            await LingerAsync().ConfigureAwait(false);
        }
        finally
        {
            EndClosed();
            closing.SetResult();
        }
    }

    private void EndClosed()
    {
        // First the right to end, then the end: closing the channel fails what is in flight, which must not look like a
        // loss; and a loss or an abort that came before reports its own cause.
        if (TryEnd(_reason))
        {
            var closed = new ConnectionAbortedException("The connection was closed from this side.");
            _input.Fail(closed);
            _output.Fail(closed);
            _channel.Close();
            End(null);
        }
    }

    /// <summary>
    /// Waits for the peer's end. A socket that is closed with unread bytes sends a reset, which destroys what the peer has not
    /// read yet; so what arrives is received and thrown away: without a bound on its amount while the peer has not acknowledged
    /// the whole reply (it may have to send before it reads), then LingerBytes at once and as many again in each slice of the
    /// time. It ends when LingerTimeout has passed without an acknowledgement.
    /// </summary>
    private async Task LingerAsync()
    {
        int before = int.MaxValue;
        for (int i = 0; _options.LingerTimeout > TimeSpan.Zero; i++)
        {
            if (i % LingerSlices == 0)
            {
                int unacknowledged = _channel.Unacknowledged;
                if (i > 0 && (before == 0 || unacknowledged >= before))
                {
                    return;
                }

                before = unacknowledged;
            }

            using var sliceOver = new CancellationTokenSource();
            Task over = Task.Delay(_options.LingerTimeout / LingerSlices, _options.TimeProvider, sliceOver.Token);
            Task discarded;
            do
            {
                discarded = _input.DiscardAsync(_input.Discarded + _options.LingerBytes);
                await Task.WhenAny(discarded, over).ConfigureAwait(false);
            }
            while (!over.IsCompleted && !_input.IsEnded && _options.LingerBytes > 0 && _channel.Unacknowledged > 0);

            await Task.WhenAny(over, _input.IsEnded ? Task.CompletedTask : Closed().Task).ConfigureAwait(false);
            if (!over.IsCompleted)
            {
                // The peer has ended, or somebody has aborted.
                await sliceOver.CancelAsync().ConfigureAwait(false);
                return;
            }
        }
    }

    void IInputOwner.OnInputBegun() => Volatile.Write(ref _firstByteAt, _options.TimeProvider.GetTimestamp());

    void IInputOwner.OnInputEnded(Exception? loss)
    {
        if (loss is not null)
        {
            Lose(loss);
            return;
        }

        lock (_channel)
        {
            _peerEnded = true;
        }
    }

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

        if (TryEnd(SocketErrors.IsTimeout(loss) ? ConnectionEndReason.TimedOut : ConnectionEndReason.ResetByPeer))
        {
            _input.Fail(loss);
            _output.Fail(loss);
            _channel.Close();
            End(loss);
        }
    }

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
    private TaskCompletionSource Closed()
    {
        lock (_channel)
        {
            return _closed ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    private void End(Exception? loss)
    {
        CancellationTokenSource? source;
        lock (_channel)
        {
            _isClosed = true;
            source = _closedSource;
        }

        TaskCompletionSource closed = Closed();
        if (loss is null)
        {
            closed.TrySetResult();
        }
        else if (closed.TrySetException(loss))
        {
            // Nobody has to wait for the close; the reader and the writer throw the same cause.
            _ = closed.Task.Exception;
        }

        // Whoever registered with the token is not run on the thread that noticed the end: it may be a receiving one.
        _ = source?.CancelAsync();
    }
}
