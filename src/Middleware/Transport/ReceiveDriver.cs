namespace ByteStreams.Transport;

/// <summary>
/// Receives from a channel into the queue of a <see cref="TransportPipeReader"/>: when a read finds nothing buffered, when the channel is
/// ready, and ahead of reads where only the end is awaited or the connection lingers.
/// </summary>
/// <remarks>
/// At most one receive is in flight. A read that is cancelled leaves it in flight, and its bytes are buffered for the next read: no byte
/// is lost, whatever the channel does with cancellation (R18). A block is held only while it holds bytes or a receive writes to it.
/// The thread that completes a receive runs the reader's continuation inline, outside of the lock.
/// </remarks>
internal sealed class ReceiveDriver : IReceiver
{
    /// <summary>A tail with less free space is not received into: short receives cost a system call each.</summary>
    private const int LeastFree = 512;

    private readonly TransportPipeReader _reader;
    private readonly ByteChannel _channel;
    private readonly IInputOwner? _owner;

    // Null where the channel calls the receiver.
    private readonly AwaitedReceive? _awaited;
    private UnreadInput? _unread;
    private PausedInput? _paused;
    private Exception? _failure;
    private ReceiveBlockSize _blockSize;
    private bool _isEnded;
    private bool _isEndDue;
    private bool _hasUnshown;

    /// <summary>Guards this object and its reader. The lock of another connection's writer may be taken within it, and never the other way round.</summary>
    public ThinLock Gate;

    /// <summary>Bytes that were received and not consumed.</summary>
    public SegmentQueue Queue;

    public ReceiveDriver(TransportPipeReader reader, ByteChannel channel, int largestBlock, IInputOwner? owner)
    {
        _reader = reader;
        _channel = channel;
        _owner = owner;
        _blockSize = new ReceiveBlockSize(largestBlock);
        _awaited = channel.CallsReceiver ? null : new AwaitedReceive(this, reader, channel);
    }

    /// <summary>Is called when a read begins to wait, and at the end; null where no timeout counts from there.</summary>
    public IProgressObserver? Observer { get; set; }

    /// <summary>Bytes received so far, the discarded ones included.</summary>
    public long BytesReceived => Queue.Committed + Discarded;

    /// <summary>Bytes that were received and not consumed.</summary>
    public long Buffered => Queue.Count;

    /// <summary>Bytes that were discarded so far.</summary>
    public long Discarded => Volatile.Read(ref _unread)?.Discarded ?? 0;

    /// <summary>The input that is received although no read asks for it. Made at first use.</summary>
    public UnreadInput Unread =>
        Volatile.Read(ref _unread) ?? Interlocked.CompareExchange(ref _unread, new UnreadInput(this), null) ?? _unread;

    /// <summary>Whether the peer has ended its direction, or the connection has failed.</summary>
    public bool IsOver
    {
        get
        {
            using (Gate.Enter())
            {
                return _isEnded || _failure is not null;
            }
        }
    }

    /// <summary>Whether the channel knows, without a receive, that the peer has ended or is gone.</summary>
    public bool HasPeerEnded => _channel.HasPeerEnded;

    /// <summary>Whether the peer has ended its direction. Under the lock.</summary>
    public bool IsEnded => _isEnded;

    /// <summary>Why nothing more is received; null while the connection lives. Under the lock.</summary>
    public Exception? Failure => _failure;

    /// <summary>Whether a wait or a receive is in flight. Under the lock.</summary>
    public bool IsInFlight { get; set; }

    /// <summary>Half of a small block: a connection that holds less may take another above the limit.</summary>
    public bool HoldsLittle => Held < BufferLimit.SmallBlock / 2;

    /// <summary>The bytes that the connection holds: those received, and answers that wait to be sent.</summary>
    private long Held => Buffered + (_reader.Onward?.Writer.Queued ?? _owner?.BufferedOutput ?? 0);

    /// <summary>Whether the connection holds all that it may while the process buffers more than it may.</summary>
    private bool IsOverShare => !MayExceed && !IsDiscarding && Queue.Free.IsEmpty && !HoldsLittle;

    private bool MayExceed => _paused is { MayExceed: true };

    /// <summary>Whether a receive in flight writes to the last block.</summary>
    private bool IsIntoBlock => _awaited is { IsReceiving: true };

    private bool IsDiscarding => _unread is { IsDiscarding: true };

    /// <summary>A read needs so many more bytes, so that the next block is that large; at most <see cref="ReceiveBlockSize.LargestExpected"/>.</summary>
    public void Expect(long more)
    {
        if (_blockSize.Need(more))
        {
            using (Gate.Enter())
            {
                _blockSize.Grow(more);
            }
        }
    }

    /// <summary>
    /// Begins a wait or a receive, under the lock. Where that ends the input, <see cref="TakeNotice"/> returns that.
    /// </summary>
    /// <returns>Whether something has changed; false while it is in flight, or paused.</returns>
    public bool Receive()
    {
        if (TryPause())
        {
            return false;
        }

        try
        {
            if (_awaited is not null)
            {
                return _awaited.Receive(waits: !_blockSize.IsMoreLikely || BufferLimit.Process.IsExceeded);
            }

            do
            {
                // Set before: a channel over another pipe may call back within the call, and then something has changed.
                IsInFlight = true;
                if (!_channel.WaitToReceive(this))
                {
                    return !IsInFlight;
                }

                IsInFlight = false;
            }
            while (!TryReceiveIntoBlock());

            return true;
        }
        catch (Exception error)
        {
            IsInFlight = false;
            Fail(error);
            return true;
        }
    }

    /// <summary>Receives what is wanted although no read waits, under the lock.</summary>
    public void ReceiveAhead()
    {
        while (_unread is not null && !IsInFlight && !_isEnded && _failure is null && _unread.IsWanted(Queue.Count, !_hasUnshown))
        {
            if (!Receive())
            {
                return;
            }
        }
    }

    /// <summary>The reader has been given all buffered bytes. Under the lock.</summary>
    public void OnShown() => _hasUnshown = false;

    /// <summary>Returns the block to the pool if its bytes were consumed and no receive writes to it. Under the lock.</summary>
    public void ReleaseEmpty()
    {
        if (!IsIntoBlock)
        {
            Queue.ReleaseEmpty();
        }
    }

    /// <summary>Drops what is buffered, under the lock. A block that a receive writes to is returned when that receive completes.</summary>
    public void DropBuffered() => Queue.TakeAll(exceptLast: IsIntoBlock);

    /// <summary>Fails every read from now on, after what is buffered. Under the lock.</summary>
    public void FailReads(Exception failure)
    {
        if (!_isEnded)
        {
            _failure ??= failure;
        }
    }

    /// <summary>What has to be reported since the last call, under the lock. The caller passes it to <see cref="Report"/>, outside of the lock.</summary>
    public InputNotice TakeNotice()
    {
        bool isReached = !_isEnded && _failure is null && _unread is not null && _unread.TakeReached();
        InputNotice notice = _isEndDue ? InputNotice.Ended : isReached ? InputNotice.Discarded : InputNotice.None;
        _isEndDue = false;
        return notice;
    }

    /// <summary>Reports to the owner. Outside of the lock.</summary>
    public void Report(InputNotice notice)
    {
        if (notice == InputNotice.Ended)
        {
            _owner?.OnInputEnded(_failure);
        }
        else if (notice == InputNotice.Discarded)
        {
            _owner?.OnDiscarded();
        }
    }

    /// <summary>Ends a discard, which may hold the lock for long. Outside of the lock.</summary>
    public void StopDiscarding() => Volatile.Read(ref _unread)?.SetBound(0);

    /// <summary>
    /// Fails reads for a send that has failed, after everything that the channel has received by now is buffered: a peer that answers and
    /// then resets is read to its end. At most the channel's own receive buffer is taken over.
    /// </summary>
    /// <returns>
    /// Whether it is done; false while a receive in flight still brings bytes: <see cref="IInputOwner.OnInputEnded"/> reports it then.
    /// </returns>
    public bool FailAfterReceived(Exception loss)
    {
        TransportPipeReader.Completion completion;
        using (Gate.Enter())
        {
            if (_isEnded || _failure is not null)
            {
                return true;
            }

            if (IsIntoBlock && !_reader.IsCompleted && _channel.HasArrived)
            {
                _awaited!.Loss = loss;
                return false;
            }

            ReceiveRest(loss);
            // The caller reports the end itself.
            completion = _reader.Settle(asynchronously: true) with { Notice = InputNotice.None };
        }

        _reader.Complete(completion);
        return true;
    }

    /// <summary>Has the owner called when the channel reports a loss while no receive waits.</summary>
    /// <returns>Whether the channel can report it.</returns>
    public bool ReportLoss() => _channel.ReportLoss(this);

    void IReceiver.OnReady()
    {
        TransportPipeReader.Completion completion;
        using (Gate.Enter())
        {
            IsInFlight = false;
            if (TryPause())
            {
                return;
            }

            try
            {
                if (!TryReceiveIntoBlock() && !Receive())
                {
                    return;
                }
            }
            catch (Exception error)
            {
                Fail(error);
            }

            completion = _reader.Settle(asynchronously: false);
        }

        _reader.Complete(completion);
    }

    void IReceiver.OnLost() => _owner?.OnLossReported();

    /// <summary>Goes on after a pause, or finds that the reader has gone on by itself. Outside of any lock.</summary>
    public void Resume()
    {
        TransportPipeReader.Completion completion;
        using (Gate.Enter())
        {
            if (IsInFlight || _isEnded || _failure is not null || !(_reader.IsWaiting || _unread is { IsWatching: true }))
            {
                return;
            }

            try
            {
                // On an event loop the handler goes on where it runs.
                if (_awaited is null)
                {
                    IsInFlight = true;
                    if (!_channel.WaitToReceiveLater(this))
                    {
                        return;
                    }

                    IsInFlight = false;
                }
            }
            catch (Exception error)
            {
                Fail(error);
            }

            if (_reader.IsWaiting && _failure is null)
            {
                _ = Receive();
            }

            completion = _reader.Settle(asynchronously: true);
        }

        _reader.Complete(completion);
    }

    /// <summary>
    /// Pauses where the process buffers more than it may, this connection holds more than a little, and a receive would take another block.
    /// What arrives stays with the peer, as where nothing reads. Under the lock.
    /// </summary>
    public bool TryPause()
    {
        _paused?.IsPaused = false;
        return BufferLimit.Process.IsExceeded && IsOverShare && BufferLimit.Process.TryPause(_paused ??= new PausedInput(this));
    }

    private bool TryReceiveIntoBlock()
    {
        if (!_channel.TryReceive(FreeBlock().Span, out int count, out Exception? loss))
        {
            Queue.ReleaseUnused();
            return false;
        }

        if (loss is not null)
        {
            Queue.ReleaseUnused();
            Fail(loss);
        }
        else
        {
            Accept(count);
        }

        return true;
    }

    /// <summary>Where the next receive goes. Under the lock.</summary>
    public Memory<byte> FreeBlock()
    {
        if (_unread is { IsDiscarding: true } unread)
        {
            return unread.TakeScratch();
        }

        bool isExceeded = BufferLimit.Process.IsExceeded;
        if (Queue.Free.Length < (isExceeded ? 1 : LeastFree))
        {
            long answers = _reader.Onward?.Writer.AvailableCapacity ?? _owner?.AnswerCapacity ?? long.MaxValue;
            Queue.Grow(_blockSize.Take(answers, isSmall: isExceeded && !MayExceed));
        }

        return Queue.Free;
    }

    /// <summary>Buffers or discards what was received; nothing is the end. Under the lock.</summary>
    public void Accept(int count)
    {
        if (count == 0)
        {
            Observer?.OnDirectionEnds();
            _isEnded = true;
            _isEndDue = true;
            ReleaseEmpty();
            return;
        }

        if (BytesReceived == 0)
        {
            _owner?.OnInputBegun();
        }

        if (_unread is { IsIntoScratch: true } unread)
        {
            unread.CountDiscarded(count);
            return;
        }

        bool isFilled = count == Queue.Free.Length;
        Queue.Advance(count);
        Queue.Commit(count);
        _hasUnshown = true;
        if (_reader.Onward is not null)
        {
            Observer?.OnReadWaits();
        }

        _blockSize.OnReceived(count, isFilled);
        if (_reader.IsCompleted)
        {
            DropBuffered();
        }
    }

    /// <summary>A receive has failed. Under the lock.</summary>
    public void Fail(Exception error)
    {
        if (_failure is null && !_isEnded)
        {
            _failure = error;
            _isEndDue = true;
        }

        ReleaseEmpty();
    }

    /// <summary>As <see cref="FailAfterReceived"/>, of a receive that was in flight and has completed. Under the lock.</summary>
    public void FailAfterLast(Exception loss)
    {
        if (_failure is null)
        {
            ReceiveRest(loss);
            _isEndDue = true;
        }
    }

    /// <summary>Buffers what the channel has received, without a wait, and fails reads after it.</summary>
    private void ReceiveRest(Exception loss)
    {
        Segment? shown = Queue.Tail;

        // A Unix peer that reads no more can go on sending: bytes from now on were not sent before the failure.
        long end = Queue.Committed + Math.Max(ReceiveBlockSize.LargestExpected, IsIntoBlock ? 0 : _channel.Arrived);
        while (!IsIntoBlock && !_reader.IsCompleted && !IsDiscarding && Queue.Committed < end && !(BufferLimit.Process.IsExceeded && IsOverShare)
            && _channel.TryReceive(FreeBlock().Span, out int count, out Exception? failure))
        {
            if (failure is not null || count == 0)
            {
                break;
            }

            Accept(count);
            shown = Queue.Tail;
        }

        // A block that was there before may be where the reader's buffer ends, although it is empty.
        if (Queue.Tail != shown)
        {
            Queue.ReleaseUnused();
        }

        _failure ??= loss;
        ReleaseEmpty();
    }
}
