using System.Buffers;
using System.IO.Pipelines;
using System.Threading.Tasks.Sources;

namespace ByteStreams.Transport;

/// <summary>
/// A connection's input. A read that finds nothing buffered receives on the caller's own thread if bytes have arrived; there is no pump, so
/// that a peer whose bytes are not read is paused by the transport itself (R19).
/// </summary>
/// <remarks>The <see cref="ReceiveDriver"/> fills the queue. Cancellation never runs the reader's continuation inline.</remarks>
internal sealed class TransportPipeReader : PipeReader, IValueTaskSource<ReadResult>
{
    private PendingRead _pending;
    private long _examined;
    private bool _isCanceled;
    private bool _isCompleted;

    public TransportPipeReader(ByteChannel channel, int largestBlock, IInputOwner? owner = null) =>
        Driver = new ReceiveDriver(this, channel, largestBlock, owner);

    /// <summary>What receives.</summary>
    public ReceiveDriver Driver { get; }

    /// <summary>Whether a read waits.</summary>
    public bool IsWaiting => _pending.IsWaiting;

    /// <summary>Whether nothing more is read.</summary>
    public bool IsCompleted => _isCompleted;

    /// <summary>Where the relay's read forwards bytes to; null for any other read.</summary>
    public IOnward? Onward { get; private set; }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) => ReadAsync(null, cancellationToken);

    /// <summary>
    /// Zero-copy read for the relay: forwards bytes while the target accepts them; completes on leftover bytes, EOF or cancellation. A
    /// failure of the target shows when the leftover bytes are written to it.
    /// </summary>
    public ValueTask<ReadResult> ReadAndForwardAsync(IOnward onward) => ReadAsync(onward, CancellationToken.None);

    private ValueTask<ReadResult> ReadAsync(IOnward? onward, CancellationToken cancellationToken)
    {
        ValueTask<ReadResult> read;
        InputNotice notice;
        using (Driver.Gate.Enter())
        {
            try
            {
                ThrowIfUnreadable();
                Onward = onward;
                cancellationToken.ThrowIfCancellationRequested();
                read = TryResultOrReceive(out ReadResult result) ? new ValueTask<ReadResult>(result) : Wait(cancellationToken);
            }
            catch (Exception error)
            {
                read = ValueTask.FromException<ReadResult>(error);
            }

            notice = Driver.TakeNotice();
        }

        Driver.Report(notice);

        return read;
    }

    public override bool TryRead(out ReadResult result)
    {
        InputNotice notice;
        bool any;
        using (Driver.Gate.Enter())
        {
            ThrowIfUnreadable();
            Onward = null;
            any = TryResult(out result);
            Driver.ReceiveAhead();
            notice = Driver.TakeNotice();
        }

        Driver.Report(notice);

        return any;
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        InputNotice notice;
        using (Driver.Gate.Enter())
        {
            ThrowIfCompleted();
            ref SegmentQueue queue = ref Driver.Queue;
            queue.TakeTo(consumed);
            Driver.ReleaseEmpty();
            if (examined.GetObject() is Segment segment)
            {
                // Also backwards: a reader that takes over the pipe has not seen what the last one has. The segment may have been
                // returned just now, when all of it was consumed; then it was examined too.
                _examined = Math.Clamp(segment.RunningIndex + examined.GetInteger(), queue.Taken, queue.Committed);
            }

            // What was consumed makes free space under the bound of input that is received ahead.
            Driver.ReceiveAhead();
            notice = Driver.TakeNotice();
        }

        Driver.Report(notice);
    }

    public override void CancelPendingRead()
    {
        ReadResult result;
        using (Driver.Gate.Enter())
        {
            if (!_pending.TryEnd(asynchronously: true))
            {
                _isCanceled = true;
                return;
            }

            result = new ReadResult(Buffer(), isCanceled: true, Driver.IsEnded);
        }

        _pending.SetResult(result);
    }

    /// <summary>Drops everything buffered. The peer's further bytes stay in the transport, or are discarded at the close.</summary>
    public override void Complete(Exception? exception = null)
    {
        bool waited;
        using (Driver.Gate.Enter())
        {
            if (_isCompleted)
            {
                return;
            }

            _isCompleted = true;
            Driver.DropBuffered();
            _examined = Driver.Queue.Committed;
            _pending.Unregister();
            waited = _pending.TryEnd(asynchronously: true);
        }

        if (waited)
        {
            _pending.SetException(new InvalidOperationException("The input was completed while a read was waiting."));
        }
    }

    /// <summary>Every read from now on fails with <paramref name="exception"/>, after what is buffered; a read that waits, at once.</summary>
    public void Fail(Exception exception)
    {
        // Before the lock: a peer that sends fast keeps the receiving thread within it.
        Driver.StopDiscarding();
        bool waited;
        using (Driver.Gate.Enter())
        {
            Driver.FailReads(exception);
            waited = _pending.TryEnd(asynchronously: true);
        }

        if (waited)
        {
            _pending.SetException(exception);
        }
    }

    /// <summary>The owner of this token calls <see cref="CancelWait"/> after it has fired: a read that waits with it registers nothing.</summary>
    public void WillCancel(CancellationToken token)
    {
        using (Driver.Gate.Enter())
        {
            _pending.Announce(token);
        }
    }

    /// <summary>Cancels the read that waits with this token, if one does; the token has fired already.</summary>
    public void CancelWait(CancellationToken token)
    {
        using (Driver.Gate.Enter())
        {
            if (!_pending.IsWaitingWith(token))
            {
                return;
            }

            _ = _pending.TryEnd(asynchronously: true);
        }

        _pending.SetException(new OperationCanceledException(token));
    }

    ReadResult IValueTaskSource<ReadResult>.GetResult(short token) => _pending.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => _pending.GetStatus(token);

    void IValueTaskSource<ReadResult>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _pending.OnCompleted(continuation, state, token, flags);

    /// <summary>Finds out, under the lock, what follows from bytes that have arrived or an end: a read that waits may complete.</summary>
    /// <param name="asynchronously">Whether the continuation of that read runs on the thread pool.</param>
    /// <returns>What is to be done by <see cref="Complete(in Completion)"/>.</returns>
    public Completion Settle(bool asynchronously)
    {
        Completion completion = default;
        Driver.ReceiveAhead();
        if (_pending.IsWaiting)
        {
            try
            {
                // Where all bytes were forwarded, the wait goes on, and the next receive has to begin.
                while (!(completion.IsRead = TryResult(out completion.Result)) && Onward is not null && !Driver.IsInFlight && Driver.Receive())
                {
                }

                Driver.ReceiveAhead();
            }
            catch (Exception error)
            {
                completion.Failure = error;
                completion.IsRead = true;
            }

            if (completion.IsRead)
            {
                _ = _pending.TryEnd(asynchronously);
            }
        }

        completion.Notice = Driver.TakeNotice();
        return completion;
    }

    /// <summary>Reports an end to the owner, and then completes the read, outside of the lock.</summary>
    public void Complete(in Completion completion)
    {
        Driver.Report(completion.Notice);
        if (completion.Failure is not null)
        {
            _pending.SetException(completion.Failure);
        }
        else if (completion.IsRead)
        {
            _pending.SetResult(completion.Result);
        }
    }

    private void ThrowIfUnreadable()
    {
        ThrowIfCompleted();
        if (_pending.IsWaiting)
        {
            throw new InvalidOperationException("A read is already waiting on this connection; await it before the next.");
        }
    }

    private void ThrowIfCompleted()
    {
        if (_isCompleted)
        {
            throw new InvalidOperationException("The input was completed; nothing more can be read from it.");
        }
    }

    private ValueTask<ReadResult> Wait(CancellationToken cancellationToken)
    {
        Driver.Observer?.OnReadWaits();
        return _pending.Begin(this, cancellationToken);
    }

    private bool TryResultOrReceive(out ReadResult result)
    {
        while (!TryResult(out result))
        {
            if (Driver.IsInFlight || !Driver.Receive())
            {
                return false;
            }
        }

        Driver.ReceiveAhead();
        return true;
    }

    private bool TryResult(out ReadResult result)
    {
        if (_isCanceled)
        {
            _isCanceled = false;
            result = new ReadResult(Buffer(), isCanceled: true, Driver.IsEnded);
            return true;
        }

        ref SegmentQueue queue = ref Driver.Queue;
        if (Onward is not null && queue.Committed > _examined && Onward.TryForward(ref queue))
        {
            _examined = queue.Committed;
            Driver.ReleaseEmpty();
        }

        if (queue.Committed > _examined || Driver.IsEnded)
        {
            result = new ReadResult(Buffer(), isCanceled: false, Driver.IsEnded);
            return true;
        }

        result = default;
        return Driver.Failure is null ? false : throw Driver.Failure;
    }

    private ReadOnlySequence<byte> Buffer()
    {
        Driver.OnShown();
        return Driver.Queue.All;
    }

    /// <summary>What is to be done once the lock is released.</summary>
    public struct Completion
    {
        /// <summary>The result of the read.</summary>
        public ReadResult Result;

        /// <summary>The failure of the read; null where it has a result.</summary>
        public Exception? Failure;

        /// <summary>Whether the read completes.</summary>
        public bool IsRead;

        /// <summary>What is reported before the read completes.</summary>
        public InputNotice Notice;
    }
}
