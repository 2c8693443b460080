using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport;

/// <summary>
/// A channel with its two directions, from the first byte to the close: how it is closed, aborted or lost, with which reason, and what is
/// then notified.
/// </summary>
/// <remarks>
/// Its lock guards the state and is held for a few assignments only: no call to the channel, a direction or an observer is made within it.
/// </remarks>
internal sealed class ChannelLifetime : IInputOwner, IOutputOwner, ILingering
{
    private readonly ByteChannel _channel;
    private readonly ByteStreamTransportOptions _options;

    // Made under the lock when something first waits for the close, or at the close: 24 bytes of each idle connection.
    private Ending? _ending;
    private long _firstByteAt;
    private ThinLock _gate;
    private volatile ConnectionCloseReason _reason;
    private bool _followsKestrel;
    private bool _isInputEnded;
    private bool _isClosing;
    private bool _isClosed;

    // A send has failed, and a receive in flight still brings what has arrived before.
    private bool _isLosing;

    public ChannelLifetime(ByteChannel channel, ByteStreamTransportOptions options)
    {
        _channel = channel;
        _options = options;
        _followsKestrel = options.FollowsKestrel;
        Input = new TransportPipeReader(channel, options.ReceiveBlock, this);
        Output = new TransportPipeWriter(channel, options.WriteBufferHighWater, options.WriteBufferLowWater, this)
        {
            CoalescesFlushes = options.FollowsKestrel,
        };
    }

    public ByteChannel Channel => _channel;

    public TransportPipeReader Input { get; }

    public TransportPipeWriter Output { get; }

    /// <summary>The options of the server or client that it belongs to.</summary>
    public ByteStreamTransportOptions Options => _options;

    public ConnectionCloseReason Reason => _reason;

    /// <summary>Whether the peer has ended its direction.</summary>
    public bool IsInputEnded => Volatile.Read(ref _isInputEnded);

    /// <summary>Whether the connection is closed for good.</summary>
    public bool IsClosed => Volatile.Read(ref _isClosed);

    /// <summary>The clock's timestamp of the first byte received; zero before it.</summary>
    public long FirstByteAt => Volatile.Read(ref _firstByteAt);

    /// <summary>Whether a failure ends the connection although nothing is read or sent, see <see cref="ObserveEnd"/>.</summary>
    public bool ReportsLoss { get; private set; }

    /// <summary>As <see cref="ChannelConnection.FollowsKestrel"/>.</summary>
    public bool FollowsKestrel
    {
        get => _followsKestrel;
        set
        {
            _followsKestrel = value;
            Output.CoalescesFlushes = value;
        }
    }

    /// <summary>
    /// The token of the close, or the one that middleware has set in its place. Made at its first use. Its callbacks run on the thread
    /// pool: the thread that notices the end may be a receiving one.
    /// </summary>
    public CancellationToken ClosedToken
    {
        get => EnsureClosedSource().Shown;
        set => EnsureClosedSource().Shown = value;
    }

    /// <summary>Bytes that were written and not sent.</summary>
    public long BufferedOutput => Output.Queued + Output.UnflushedBytes;

    long IInputOwner.AnswerCapacity => Output.AnswerCapacity;

    /// <summary>As <see cref="IConnectionProgress.ObserveEnd"/>.</summary>
    public void ObserveEnd(IEndObserver? observer)
    {
        // A full fence: the thread that ends the connection sets the reason and then looks for the observer.
        Interlocked.Exchange(ref EnsureEnding().Observer, observer);
        if (observer is null)
        {
            return;
        }

        ReportsLoss = Input.Driver.ReportLoss();
        if (_reason != ConnectionCloseReason.None)
        {
            observer.OnEnding();
        }
    }

    /// <summary>Begins the close: sends what was written, and then lingers for the peer's end.</summary>
    /// <param name="reason">The close reason; none where the side that closed first decides it.</param>
    public void Close(ConnectionCloseReason reason)
    {
        bool hasPeerEnded;
        using (_gate.Enter())
        {
            if (_isClosing || _isClosed)
            {
                return;
            }

            _isClosing = true;
            hasPeerEnded = _isInputEnded;
            if (_reason == ConnectionCloseReason.None)
            {
                _reason = reason != ConnectionCloseReason.None ? reason
                    : _isInputEnded ? ConnectionCloseReason.ClosedByPeer
                    : ConnectionCloseReason.ClosedLocally;
            }
        }

        if (hasPeerEnded && _channel.CloseSendsEnd)
        {
            // Nothing lingers: the socket is closed as soon as the kernel has the bytes, which saves the system call.
            Output.CompleteForClose();
        }
        else
        {
            Output.Complete();
        }

        if (Output.IsFinished)
        {
            BeginLinger();
        }
        else
        {
            _ = LingerWhenSentAsync();
        }

        ReportEnding();
    }

    /// <param name="reason">The close reason.</param>
    /// <param name="cause">What reads and flushes fail with, inside a <see cref="ConnectionAbortedException"/>; may be null.</param>
    /// <param name="drops">Whether a layer above drops written bytes as well.</param>
    /// <param name="resets">Whether the peer sees a reset.</param>
    public void Abort(ConnectionCloseReason reason, Exception? cause, bool drops, bool resets = true)
    {
        ConnectionAbortedException aborted = cause as ConnectionAbortedException
            ?? new ConnectionAbortedException("The connection was aborted from this side.", cause!);
        bool dropped = cause is not null && (drops || BufferedOutput > 0);
        if (TryEnd(reason))
        {
            // The output first: a handler whose read has failed completes it, which must not send a FIN before the reset.
            Output.Fail(aborted);
            Input.Fail(aborted);
            if (resets)
            {
                _channel.Reset();
            }
            else
            {
                _channel.Close();
            }

            // A plain abort drops what it drops. One that has a cause is not the writer's own: a caller that waits for the close learns of the bytes.
            End(!dropped ? null : cause is TimeoutException ? cause : aborted);
        }
    }

    /// <summary>As <see cref="IOrderlyReset.AbortWhenSentAsync"/>.</summary>
    public async Task AbortWhenSentAsync(ConnectionCloseReason reason, Exception? cause, bool waitsForSlowPeer)
    {
        await Delivery.WaitAsync(
            Output,
            () => _channel.DeliversBeforeReset || _channel.Unacknowledged == 0,
            waitsForSlowPeer ? () => Output.BytesSent - _channel.Unacknowledged : null,
            waitsForSlowPeer || _options.LingerTimeout > Delivery.LongestWait ? Delivery.LongestWait : _options.LingerTimeout,
            _options.TimeProvider).ConfigureAwait(false);
        Abort(reason, cause, drops: false);
    }

    public Task WaitClosedAsync()
    {
        // What is received for a caller that only waits for the end: as much as asyncio does before it pauses.
        Input.Driver.Unread.Watch(_options.ReceiveBlock);
        return EnsureEnding().Task;
    }

    /// <summary>Ends the connection where it has failed and no read or send has reported that.</summary>
    public void LookForLoss()
    {
        if (_channel.FindLoss() is Exception loss)
        {
            OnOutputFailed(loss);
        }
    }

    void IInputOwner.OnInputBegun() => Volatile.Write(ref _firstByteAt, _options.TimeProvider.GetTimestamp());

    void IInputOwner.OnInputEnded(Exception? loss)
    {
        if (loss is null)
        {
            OnPeerEnded();
        }
        else if (loss is ConnectionAbortedException)
        {
            // The echo of a close or an abort from this side.
        }
        else if (Volatile.Read(ref _isLosing))
        {
            // The rest has been received.
            FinishLoss(loss);
        }
        else if (TryEnd(ReasonOf(loss)))
        {
            Output.Fail(loss);
            FinishLoss(loss);
        }
    }

    void IInputOwner.OnLossReported() => LookForLoss();

    void IInputOwner.OnDiscarded() => FindLinger()?.OnDiscarded();

    void IOutputOwner.OnOutputLost(Exception loss)
    {
        if (loss is ConnectionAbortedException aborted)
        {
            Abort(ConnectionCloseReason.Aborted, aborted, drops: false);
        }
        else
        {
            OnOutputFailed(loss);
        }
    }

    void ILingering.Discard(long bytes) => Input.Driver.Unread.Discard(Input.Driver.Discarded + bytes);

    void ILingering.OnLingered(int unacknowledged) => EndClosed(unacknowledged == 0 ? null : new TimeoutException(
        $"The peer did not acknowledge {unacknowledged} of the bytes that were written within LingerTimeout ({_options.LingerTimeout.TotalSeconds:0.###} s)."));

    private void OnPeerEnded()
    {
        ClosedSource? source = null;
        using (_gate.Enter())
        {
            _isInputEnded = true;
            if (_followsKestrel)
            {
                source = _ending?.ClosedSource;
            }
        }

        _ = source?.CancelAsync();
        if (FindLinger() is not null)
        {
            EndClosed(null);
        }
    }

    private async Task LingerWhenSentAsync()
    {
        // Leave the lock and the caller's stack: Close returns at once, however much arrives.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);

        // A peer that reads nothing before it has sent everything must be able to send: as long as the reply has not left,
        // whatever arrives is received without a bound, and discarded.
        Input.Driver.Unread.Discard(long.MaxValue);
        await Output.Finished.ConfigureAwait(false);
        BeginLinger();
    }

    /// <summary>
    /// The kernel has the whole reply. Where the peer has ended, as most clients have, it delivers the reply also after the socket is
    /// closed, because nothing is unread that would make a reset of it.
    /// </summary>
    private void BeginLinger()
    {
        if (Input.Driver.IsOver || _options.LingerTimeout == TimeSpan.Zero)
        {
            EndClosed(null);
            return;
        }

        Linger linger = new(this, _channel, _options);
        Ending ending = EnsureEnding();
        using (_gate.Enter())
        {
            if (_isClosed)
            {
                return;
            }

            Volatile.Write(ref ending.Linger, linger);
        }

        linger.Begin();
        if (Input.Driver.IsOver || IsClosed)
        {
            // The peer has ended, or an abort has come, before the linger could be seen.
            EndClosed(null);
            linger.End();
        }
    }

    private void EndClosed(Exception? unacknowledged)
    {
        // First the right to end, then the end: closing the channel fails what is in flight, which must not look like a
        // failure of the connection; and a failure or an abort that came before reports its own cause.
        if (TryEnd(_reason))
        {
            var closed = new ConnectionAbortedException("The connection was closed from this side.");
            Input.Fail(closed);
            Output.Fail(closed);
            _channel.Close();
            End(unacknowledged);
        }
    }

    /// <summary>A send has failed, or the channel reports a failure that no receive has met: what has arrived before is still read.</summary>
    private void OnOutputFailed(Exception loss)
    {
        if (loss is ConnectionAbortedException)
        {
            // The echo of our own close or abort.
            return;
        }

        if (TryEnd(ReasonOf(loss)))
        {
            Output.Fail(loss);
            Volatile.Write(ref _isLosing, true);
            if (Input.Driver.FailAfterReceived(loss))
            {
                FinishLoss(loss);
            }
            else
            {
                ReportEnding();
            }
        }
    }

    private void FinishLoss(Exception loss)
    {
        _channel.Close();
        End(loss);
    }

    private static ConnectionCloseReason ReasonOf(Exception loss) =>
        SocketErrors.IsTimeout(loss) ? ConnectionCloseReason.TimedOut : ConnectionCloseReason.ResetByPeer;

    /// <summary>Takes the right to end the connection abruptly, also while it is closing.</summary>
    private bool TryEnd(ConnectionCloseReason reason)
    {
        using (_gate.Enter())
        {
            if (_isClosed)
            {
                return false;
            }

            _isClosed = true;
            // A failure decides what became of a clean close; a connection that was refused or has failed was not ended by a reset after that.
            if (_reason is ConnectionCloseReason.None or ConnectionCloseReason.ClosedByPeer or ConnectionCloseReason.ClosedLocally or ConnectionCloseReason.Drained)
            {
                _reason = reason;
            }

            return true;
        }
    }

    /// <summary>The end, made for the first caller that waits for it, at the latest for the end itself.</summary>
    private Ending EnsureEnding()
    {
        using (_gate.Enter())
        {
            return _ending ??= new Ending();
        }
    }

    private Linger? FindLinger() => Volatile.Read(ref _ending) is Ending ending ? Volatile.Read(ref ending.Linger) : null;

    private ClosedSource EnsureClosedSource()
    {
        Ending ending = EnsureEnding();
        ClosedSource? source = Volatile.Read(ref ending.ClosedSource);
        if (source is not null)
        {
            return source;
        }

        bool watch;
        using (_gate.Enter())
        {
            source = ending.ClosedSource ??= new ClosedSource();
            if (_isClosed || (_followsKestrel && _isInputEnded))
            {
                _ = source.CancelAsync();
            }

            watch = _followsKestrel && !_isClosed;
        }

        if (watch)
        {
            Input.Driver.Unread.Watch(_options.ReceiveBlock);
        }

        return source;
    }

    private void End(Exception? failure)
    {
        Ending ending = EnsureEnding();
        ClosedSource? source;
        Linger? linger;
        using (_gate.Enter())
        {
            source = ending.ClosedSource;
            linger = ending.Linger;
        }

        linger?.End();
        if (failure is null)
        {
            ending.TrySetResult();
        }
        else if (ending.TrySetException(failure))
        {
            // Nothing has to wait for the close; the reader and the writer throw the same cause.
            _ = ending.Task.Exception;
        }

        _ = source?.CancelAsync();
        ReportEnding();
    }

    private void ReportEnding()
    {
        Interlocked.MemoryBarrier();
        Volatile.Read(ref _ending)?.Observer?.OnEnding();
    }

    /// <summary>
    /// The end of the connection: its task completes when the connection is closed for good. The fields are for what the close then notifies; the
    /// lifetime's lock guards their changes, except for <see cref="Observer"/>, whose owner sets it.
    /// </summary>
    private sealed class Ending() : TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public Linger? Linger;
        public ClosedSource? ClosedSource;
        public IEndObserver? Observer;
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
