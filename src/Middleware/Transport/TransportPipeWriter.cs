using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport;

/// <summary>
/// A connection's output: a queue of pooled blocks that is sent on the flushing thread as far as the channel accepts it, and the rest when
/// the channel becomes ready. Completing it sends what is queued and then shuts down this direction only.
/// </summary>
/// <remarks>
/// A flush completes at once while no more than the high-water mark is queued. After a failure it returns <see cref="FlushResult.IsCompleted"/>,
/// which is the contract of every <see cref="PipeWriter"/>; <see cref="Failure"/> has the cause, for the drain of the writer to throw (F04).
/// </remarks>
internal sealed class TransportPipeWriter : PipeWriter, IOutputFailure
{
    private readonly ByteChannel _channel;
    private readonly IOutputOwner? _owner;

    // Before the other structs: here it fills the space after the flags, and after them it takes 8 bytes of each idle connection.
    private ThinLock _gate;
    private OutputBuffer _buffer;
    private FlowControl _flow;
    private LazyCompletion _finished;
    private Exception? _failure;
    private CoalescedFlushes? _coalesced;

    // Made at first use: most connections never find a socket full.
    private AwaitedSend? _awaited;
    private bool _isSending;
    private bool _isCompleted;
    private bool _isShutdownBegun;
    private bool _isEndedByClose;
    private bool _isReported;

    public TransportPipeWriter(ByteChannel channel, int highWater, int lowWater, IOutputOwner? owner = null)
    {
        _channel = channel;
        _owner = owner;
        SetLimits(highWater, lowWater);
    }

    /// <summary>Bytes that the channel has accepted so far.</summary>
    public long BytesSent => _buffer.Sent;

    /// <summary>Is called when a send begins to wait, and at the end; null where no timeout counts from there.</summary>
    public IProgressObserver? Observer { get; set; }

    /// <summary>Whether a send waits for the channel.</summary>
    public bool IsSending => Volatile.Read(ref _isSending);

    /// <summary>Bytes that were flushed and that the channel has not accepted yet.</summary>
    public long Queued => _buffer.Queued;

    /// <summary>
    /// How many more bytes may be queued before a flush waits. No limit while the channel accepts everything. If a flush is pending, reads
    /// are not limited: reader and writer are different tasks.
    /// </summary>
    public long AvailableCapacity => _flow.GetAvailable(Queued);

    /// <summary>
    /// How many bytes may be received at once to be answered. As <see cref="AvailableCapacity"/>, and half of the high-water mark while the
    /// channel accepts everything: no more than that is received from a peer that then stops reading its answers. No limit where nothing was
    /// ever sent, because such a handler only receives.
    /// </summary>
    public long AnswerCapacity => BytesSent > 0 && Queued == 0 && !_flow.IsWaiting ? _flow.High / 2 : AvailableCapacity;

    /// <summary>
    /// Whether small flushes are sent together, at the end of the loop's dispatch or by the thread pool. Set before the first flush; false by
    /// default.
    /// </summary>
    public bool CoalescesFlushes
    {
        get => _coalesced is not null;
        set => _coalesced = !value ? null : _coalesced ?? new CoalescedFlushes(this);
    }

    /// <summary>Why nothing more is sent; null while the connection lives.</summary>
    public Exception? Failure => Volatile.Read(ref _failure);

    /// <summary>Whether the channel's close ends this direction, so that it need not be completed before.</summary>
    public bool EndsWithClose => _channel.CloseSendsEnd;

    /// <summary>Whether nothing more can be written.</summary>
    public bool IsCompleted => Volatile.Read(ref _isCompleted);

    public (int High, int Low) Limits => _flow.Marks;

    /// <summary>Done when everything was sent and the direction was shut down, or when that has become impossible; never faulted.</summary>
    public Task Finished => _finished.GetTask();

    /// <summary>Whether <see cref="Finished"/> is done.</summary>
    public bool IsFinished => _finished.IsDone;

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => _buffer.Uncommitted;

    public void SetLimits(int highWater, int lowWater)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(lowWater);
        ArgumentOutOfRangeException.ThrowIfLessThan(highWater, lowWater);
        using (_gate.Enter())
        {
            _flow.Marks = (highWater, lowWater);
            ReleaseIfDrained();
        }
    }

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sizeHint);
        using (_gate.Enter())
        {
            ThrowIfCompleted();
            return _buffer.Lease(sizeHint, _flow.High);
        }
    }

    public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    public override void Advance(int bytes)
    {
        using (_gate.Enter())
        {
            _buffer.Advance(bytes);
        }
    }

    /// <summary>As <c>Write</c>, with the lock taken once.</summary>
    public void Append(ReadOnlySpan<byte> data)
    {
        using (_gate.Enter())
        {
            ThrowIfCompleted();
            _buffer.Append(data, _flow.High);
        }
    }

    /// <summary>
    /// Flushes what was written before, and sends <paramref name="data"/> after it from the caller's memory. The part that the channel does
    /// not accept is copied, and sent when the channel becomes ready.
    /// </summary>
    /// <returns>Whether nothing is left to send.</returns>
    public bool WriteThrough(ReadOnlySpan<byte> data)
    {
        Exception? failure = null;
        bool clear;
        using (_gate.Enter())
        {
            ThrowIfCompleted();
            Commit();
            if (!_isSending && _failure is null)
            {
                long before = _buffer.Queued;
                int accepted = _channel.TrySend(before > 0 ? _buffer.Peek() : default, data);
                int queued = (int)Math.Min(accepted, before);
                if (queued > 0)
                {
                    OnAccepted(queued);
                }

                data = data[(accepted - queued)..];
                _buffer.CountPassing(accepted - queued);
            }

            if (!data.IsEmpty)
            {
                _buffer.Append(data, _flow.High);
                Commit();
                Send(ref failure);
            }

            clear = _buffer.Queued == 0;
        }

        Report(failure);
        return clear;
    }

    /// <summary>
    /// Sends what the channel accepts at once, from the caller's memory, if nothing waits to be sent before it. Nothing is queued, and a
    /// failure is left to the next flush.
    /// </summary>
    /// <returns>The bytes accepted.</returns>
    public int TrySend(ReadOnlySpan<byte> data)
    {
        using (_gate.Enter())
        {
            if (_isCompleted || _isSending || _failure is not null || _buffer.Queued + _buffer.Uncommitted > 0)
            {
                return 0;
            }

            int accepted = _channel.TrySend(default, data);
            _buffer.CountPassing(accepted);
            return accepted;
        }
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<FlushResult>(cancellationToken);
        }

        Exception? failure = null;
        CoalescedFlushes? marked = null;
        Task<FlushResult>? drained = null;
        using (_gate.Enter())
        {
            if (_isCompleted)
            {
                throw new InvalidOperationException("The output was completed; nothing more can be flushed.");
            }

            Commit();
            if (_coalesced is not null && !_isSending && _buffer.Queued > 0 && _buffer.Queued <= _flow.High / 2)
            {
                marked = _coalesced.Mark() ? _coalesced : null;
            }
            else
            {
                Send(ref failure);
                if (_failure is null && _buffer.Queued > _flow.High)
                {
                    drained = _flow.WaitAsync();
                }
            }
        }

        if ((failure ?? _failure) is Exception known)
        {
            // Also a failure that another thread has met just now: it is reported to the owner first.
            Report(known);
            return new ValueTask<FlushResult>(new FlushResult(isCanceled: false, isCompleted: true));
        }

        marked?.Schedule();
        return drained is null ? default : new ValueTask<FlushResult>(drained.WaitAsync(cancellationToken));
    }

    /// <summary>Sends what was flushed and marked.</summary>
    public void SendCoalesced(CoalescedFlushes marked)
    {
        Exception? failure = null;
        using (_gate.Enter())
        {
            marked.Clear();
            Send(ref failure);
        }

        Report(failure);
    }

    public override void CancelPendingFlush()
    {
        using (_gate.Enter())
        {
            _flow.TakeWaiting()?.TrySetResult(new FlushResult(isCanceled: true, isCompleted: false));
        }
    }

    /// <summary>Sends what was written, flushed or not, and then shuts down this direction; with an exception, drops it and resets.</summary>
    public override void Complete(Exception? exception = null)
    {
        Exception? failure = null;
        using (_gate.Enter())
        {
            if (_isCompleted)
            {
                return;
            }

            Observer?.OnDirectionEnds();
            _isCompleted = true;
            if (exception is null)
            {
                Commit();
                Send(ref failure);
            }
            else
            {
                failure = new ConnectionAbortedException(exception.Message, exception);
                FailLocked(failure);
            }
        }

        Report(failure);
    }

    /// <summary>As <see cref="Complete"/>, without the shutdown: the channel's close, which follows, sends the end.</summary>
    public void CompleteForClose()
    {
        using (_gate.Enter())
        {
            _isEndedByClose = true;
        }

        Complete();
    }

    /// <summary>Drops what is queued; every flush from now on is completed, with <paramref name="exception"/> as its <see cref="Failure"/>.</summary>
    public void Fail(Exception exception)
    {
        using (_gate.Enter())
        {
            FailLocked(exception);
        }

        ReleaseFailed();
    }

    private void ThrowIfCompleted()
    {
        if (_isCompleted)
        {
            throw new InvalidOperationException("The output was completed; nothing more can be written to it.");
        }
    }

    private void Commit()
    {
        if (_failure is null)
        {
            _buffer.Commit();
            return;
        }

        // Memory that was asked for before the failure, and written after it.
        DropBuffered();
    }

    private void Send(ref Exception? failure)
    {
        try
        {
            while (!_isSending && _failure is null && _buffer.Queued > 0)
            {
                ValueTask<int> send = _channel.SendAsync(_buffer.Peek());
                if (!send.IsCompleted)
                {
                    Observer?.OnSendWaits();
                    Volatile.Write(ref _isSending, true);
                    (_awaited ??= new AwaitedSend(this)).BeginSend(send);
                    return;
                }

                OnAccepted(send.GetAwaiter().GetResult());
            }

            if (_isCompleted && !_isSending && _failure is null && _buffer.Queued == 0 && !_isShutdownBegun)
            {
                _isShutdownBegun = true;
                _buffer.Release();
                ValueTask shutdown = _isEndedByClose ? default : _channel.ShutdownSendAsync();
                if (shutdown.IsCompleted)
                {
                    shutdown.GetAwaiter().GetResult();
                    _finished.Complete();
                    return;
                }

                (_awaited ??= new AwaitedSend(this)).BeginShutdown(shutdown);
            }
        }
        catch (Exception error)
        {
            failure = error;
            FailLocked(error);
        }
    }

    /// <summary>A send that was awaited has completed: sends the rest.</summary>
    /// <param name="count">The bytes that the channel has accepted.</param>
    /// <param name="error">Why it has failed; null where it has not.</param>
    public void OnSent(int count, Exception? error)
    {
        Exception? failure = null;
        using (_gate.Enter())
        {
            _isSending = false;
            if (error is null)
            {
                OnAccepted(count);
                Send(ref failure);
            }
            else
            {
                failure = _failure is null ? error : null;
                FailLocked(error);
            }
        }

        Report(failure);
    }

    /// <summary>A shutdown that was awaited has completed.</summary>
    /// <param name="error">Why it has failed; null where it has not.</param>
    public void OnShutDown(Exception? error)
    {
        if (error is not null)
        {
            using (_gate.Enter())
            {
                FailLocked(error);
            }
        }

        Report(error);
        _finished.Complete();
    }

    private void OnAccepted(int count)
    {
        if (_failure is not null)
        {
            _buffer.Release();
            return;
        }

        _buffer.Take(count);
        ReleaseIfDrained();
    }

    private void ReleaseIfDrained()
    {
        if (_failure is null)
        {
            _flow.ReleaseAt(_buffer.Queued);
        }
    }

    /// <summary>
    /// Outside of the lock, to the owner first, which notes the close reason: a caller that waited for the bytes may abort the connection as
    /// soon as it is released.
    /// </summary>
    private void Report(Exception? failure)
    {
        if (failure is not null && !Volatile.Read(ref _isReported))
        {
            _owner?.OnOutputLost(failure);
            ReleaseFailed();
        }
    }

    /// <summary>Flushes that wait are released by <see cref="ReleaseFailed"/>, outside of the lock and after the report to the owner.</summary>
    private void FailLocked(Exception exception)
    {
        _failure ??= exception;
        DropBuffered();
    }

    private void ReleaseFailed()
    {
        Volatile.Write(ref _isReported, true);
        TaskCompletionSource<FlushResult>? waiting;
        using (_gate.Enter())
        {
            waiting = _flow.TakeWaiting();
        }

        waiting?.TrySetResult(new FlushResult(isCanceled: false, isCompleted: true));
        _finished.Complete();
    }

    /// <summary>Blocks that are being sent stay until the send completes.</summary>
    private void DropBuffered()
    {
        _buffer.Drop();
        if (!_isSending)
        {
            _buffer.Release();
        }
    }
}
