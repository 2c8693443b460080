using System.Buffers;
using System.IO.Pipelines;
using System.Numerics;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport;

/// <summary>
/// A connection's output: a queue of pooled blocks that is sent on the flusher's own thread as far as the channel takes it, and
/// as the channel becomes ready for the rest. Completing it sends what is queued and then ends this direction only.
/// </summary>
/// <remarks>
/// A flush is done at once while no more than the high-water mark is queued; above it, when the queue is down to the low-water
/// mark (W5, W6). After a loss it returns <see cref="FlushResult.IsCompleted"/>, which is the contract of every <see cref="PipeWriter"/>;
/// <see cref="Failure"/> has the cause, for the pair's drain to throw (F04).
/// </remarks>
internal sealed class ChannelWriter : PipeWriter, IOutputFailure, ITurnWork, IThreadPoolWorkItem
{
    private const int SmallestBlock = 4096;

    /// <summary>A larger write is cut into blocks of this size, so that no allocation is larger, whatever is written.</summary>
    private const int LargestBlock = 65536;

    /// <summary>The largest block for small writes below the high-water mark: of what waits for a peer that has stopped reading, little is empty.</summary>
    private const int BlockBelowMark = 16384;

    /// <summary>So far above the high-water mark only those write who do not drain; they get large blocks.</summary>
    private const int FarAboveMark = 65536;

    // All state is locked by the object itself: nobody else locks it, and a lock of its own would cost each idle connection 48 bytes.
    private readonly ByteChannel _channel;
    private readonly IOutputOwner? _owner;

    private Segment? _first;
    private Segment? _last;
    private int _sentIndex;
    private long _uncommitted;
    private long _queued;
    private long _sent;
    private int _highWater;
    private int _lowWater;
    private bool _leased;

    private bool _sending;
    private bool _marked;
    private bool _completed;
    private bool _shutdownBegun;
    private Exception? _failure;
    private bool _isReported;
    private TaskCompletionSource<FlushResult>? _drained;
    private bool _isFinished;
    private TaskCompletionSource? _finished;

    // Made at first use: most connections never find a socket full.
    private Awaited? _awaited;

    public ChannelWriter(ByteChannel channel, int highWater, int lowWater, IOutputOwner? owner = null)
    {
        _channel = channel;
        _owner = owner;
        SetLimits(highWater, lowWater);
    }

    /// <summary>Bytes that the channel has taken so far.</summary>
    public long BytesSent => Volatile.Read(ref _sent);

    /// <summary>What is called when a send begins to wait, and at the end; null where no timeout counts from there.</summary>
    public IProgressObserver? Observer { get; set; }

    /// <summary>Whether a send waits for the channel.</summary>
    public bool IsSending => Volatile.Read(ref _sending);

    /// <summary>Bytes that were flushed and that the channel has not taken yet.</summary>
    public long Queued => Volatile.Read(ref _queued);

    /// <summary>
    /// How many more bytes may be queued before a flush waits. Without a bound while the channel takes all; and while a flush waits
    /// already, since whoever reads meanwhile is not who writes.
    /// </summary>
    public long Room
    {
        get
        {
            long queued = Queued;
            return queued == 0 || Volatile.Read(ref _drained) is not null ? long.MaxValue : Math.Max(0, Volatile.Read(ref _highWater) - queued);
        }
    }

    /// <summary>
    /// How much may be received at once to be answered. As <see cref="Room"/>, and half of the high-water mark while the channel takes all:
    /// where the peer stops taking its answers, what lies here and is not read is no more than that. Without a bound where nothing was
    /// ever sent, for such a handler takes and does not answer.
    /// </summary>
    public long RoomForAnswers => BytesSent > 0 && Queued == 0 && Volatile.Read(ref _drained) is null ? Volatile.Read(ref _highWater) / 2 : Room;

    /// <summary>
    /// Whether a small flush only marks the connection, and what was flushed is sent at the end of the loop's dispatch, or by the thread pool:
    /// HTTP flushes several times for one answer, and once for each of many answers. False by default.
    /// </summary>
    public bool CoalescesFlushes { get; set; }

    /// <summary>Why nothing more is sent; null while the connection lives.</summary>
    public Exception? Failure => Volatile.Read(ref _failure);

    /// <summary>Whether nothing more can be written.</summary>
    public bool IsCompleted => Volatile.Read(ref _completed);

    public (int High, int Low) Limits
    {
        get
        {
            lock (this)
            {
                return (_highWater, _lowWater);
            }
        }
    }

    /// <summary>Done when everything was sent and the direction was ended, or when that has become impossible; never faulted.</summary>
    public Task Finished
    {
        get
        {
            lock (this)
            {
                _finished ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                if (_isFinished)
                {
                    _finished.TrySetResult();
                }

                return _finished.Task;
            }
        }
    }

    /// <summary>Whether <see cref="Finished"/> is done.</summary>
    public bool IsFinished => Volatile.Read(ref _isFinished);

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => Volatile.Read(ref _uncommitted);

    public void SetLimits(int highWater, int lowWater)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(lowWater);
        ArgumentOutOfRangeException.ThrowIfLessThan(highWater, lowWater);
        lock (this)
        {
            (_highWater, _lowWater) = (highWater, lowWater);
            ReleaseIfDrained();
        }
    }

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sizeHint);
        lock (this)
        {
            ThrowIfCompleted();
            _leased = true;
            return Free(sizeHint, sizeHint);
        }
    }

    public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    public override void Advance(int bytes)
    {
        lock (this)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(bytes);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, _last?.Free.Length ?? 0);
            _leased = false;
            if (bytes > 0)
            {
                _last!.Advance(bytes);
                _uncommitted += bytes;
            }
        }
    }

    /// <summary>As <c>Write</c>, with the lock taken once.</summary>
    public void Append(ReadOnlySpan<byte> data)
    {
        lock (this)
        {
            ThrowIfCompleted();
            AppendLocked(data);
        }
    }

    /// <summary>
    /// Flushes what was written before, and sends <paramref name="data"/> behind it from where it lies; what the channel does not
    /// take is copied, and goes as it becomes ready.
    /// </summary>
    /// <returns>Whether nothing is left here.</returns>
    public bool WriteThrough(ReadOnlySpan<byte> data)
    {
        Exception? lost = null;
        bool clear;
        lock (this)
        {
            ThrowIfCompleted();
            Commit();
            if (!_sending && _failure is null)
            {
                long before = _queued;
                int taken = _channel.TrySend(before > 0 ? Committed() : default, data);
                int queued = (int)Math.Min(taken, before);
                if (queued > 0)
                {
                    Sent(queued);
                }

                data = data[(taken - queued)..];
                Volatile.Write(ref _sent, _sent + taken - queued);
            }

            if (!data.IsEmpty)
            {
                AppendLocked(data);
                Commit();
                Send(ref lost);
            }

            clear = _queued == 0;
        }

        Report(lost);
        return clear;
    }

    /// <summary>
    /// Sends what the channel takes at once, from where it lies, if nothing waits to be sent before it. Nothing is kept here, and a loss
    /// is left to the next flush.
    /// </summary>
    /// <returns>The bytes taken.</returns>
    public int TrySend(ReadOnlySpan<byte> data)
    {
        lock (this)
        {
            if (_completed || _sending || _failure is not null || _queued + _uncommitted > 0)
            {
                return 0;
            }

            int taken = _channel.TrySend(default, data);
            Volatile.Write(ref _sent, _sent + taken);
            return taken;
        }
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<FlushResult>(cancellationToken);
        }

        Exception? lost = null;
        bool marked = false;
        Task<FlushResult>? drained = null;
        lock (this)
        {
            if (_completed)
            {
                throw new InvalidOperationException("The output was completed; nothing more can be flushed.");
            }

            Commit();
            if (CoalescesFlushes && !_sending && _queued > 0 && _queued <= _highWater / 2)
            {
                marked = !_marked;
                _marked = true;
            }
            else
            {
                Send(ref lost);
                if (_failure is null && _queued > _highWater)
                {
                    _drained ??= new TaskCompletionSource<FlushResult>(TaskCreationOptions.RunContinuationsAsynchronously);
                    drained = _drained.Task;
                }
            }
        }

        if ((lost ?? _failure) is Exception failure)
        {
            // Also of a failure that another thread has met just now: the owner hears of it first.
            Report(failure);
            return new ValueTask<FlushResult>(new FlushResult(isCanceled: false, isCompleted: true));
        }

        if (marked)
        {
            SendLater();
        }

        return drained is null ? default : new ValueTask<FlushResult>(drained.WaitAsync(cancellationToken));
    }

    /// <summary>The end of the loop's dispatch.</summary>
    void ITurnWork.OnTurnEnd() => SendMarked();

    void IThreadPoolWorkItem.Execute() => SendMarked();

    private void SendLater()
    {
        Turn? turn = Turn.Current;
        turn?.Add(this);
        if (turn is not { IsAlone: false })
        {
            // Of a thread-pool thread's own queue: it runs after the work item that flushes now, unless another thread is idle.
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: true);
        }
    }

    private void SendMarked()
    {
        Exception? lost = null;
        lock (this)
        {
            _marked = false;
            Send(ref lost);
        }

        Report(lost);
    }

    /// <summary>Sends everything that was written, or ends because that has become impossible; also of an output that is completed.</summary>
    public async Task FlushAllAsync(CancellationToken cancellationToken)
    {
        SetLimits(0, 0);
        try
        {
            if (!IsCompleted)
            {
                await FlushAsync(cancellationToken).ConfigureAwait(false);
                return;
            }
        }
        catch (InvalidOperationException) when (IsCompleted)
        {
            // Completed between the look and the flush.
        }

        await Finished.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    public override void CancelPendingFlush()
    {
        lock (this)
        {
            (TaskCompletionSource<FlushResult>? drained, _drained) = (_drained, null);
            drained?.TrySetResult(new FlushResult(isCanceled: true, isCompleted: false));
        }
    }

    /// <summary>Sends what was written, flushed or not, and then ends this direction; with an exception, drops it and resets.</summary>
    public override void Complete(Exception? exception = null)
    {
        Exception? lost = null;
        lock (this)
        {
            if (_completed)
            {
                return;
            }

            Observer?.OnDirectionEnds();
            _completed = true;
            if (exception is null)
            {
                Commit();
                Send(ref lost);
            }
            else
            {
                lost = new ConnectionAbortedException(exception.Message, exception);
                FailLocked(lost);
            }
        }

        Report(lost);
    }

    /// <summary>Drops what is queued; every flush from now on is completed, with <paramref name="exception"/> as its <see cref="Failure"/>.</summary>
    public void Fail(Exception exception)
    {
        lock (this)
        {
            FailLocked(exception);
        }

        ReleaseFailed();
    }

    private void ThrowIfCompleted()
    {
        if (_completed)
        {
            throw new InvalidOperationException("The output was completed; nothing more can be written to it.");
        }
    }

    /// <param name="least">So many bytes at least, in one piece.</param>
    /// <param name="following">So many are about to be written, in one piece or several.</param>
    private Memory<byte> Free(int least, int following)
    {
        if (_last is null || _last.Free.Length < Math.Max(1, least))
        {
            Segment segment = Segment.Take();
            _last?.Publish();
            segment.Rent(Math.Max(BlockSize(following), least), _last);
            if (_last is null)
            {
                segment.Rebase(0);
                _first = segment;
                _sentIndex = 0;
            }

            _last = segment;
        }

        return _last.Free;
    }

    /// <summary>
    /// The first block is small, for the many connections that say little; who fills it gets larger ones, of what is left below the
    /// high-water mark. Of a large write each block is filled but the last.
    /// </summary>
    private int BlockSize(int following)
    {
        if (_last is null && following <= BufferLimit.SmallBlock && BufferLimit.Process.IsExceeded)
        {
            return BufferLimit.SmallBlock;
        }

        long left = _highWater - _queued - _uncommitted;
        int most = left < -FarAboveMark ? LargestBlock : PowerOfTwo(Math.Clamp(left, SmallestBlock, BlockBelowMark));
        int grown = _last is null ? SmallestBlock : Math.Min(_last.Capacity * 4, most);
        return Math.Max(grown, PowerOfTwo(Math.Clamp(following, SmallestBlock, LargestBlock)));
    }

    private static int PowerOfTwo(long bytes) => 1 << BitOperations.Log2((ulong)bytes);

    private void AppendLocked(ReadOnlySpan<byte> data)
    {
        // Whoever writes now has given up memory that was asked for before and not used.
        _leased = false;
        while (!data.IsEmpty)
        {
            // One block for a small write, so that it is one piece of the send; several for a large one.
            Span<byte> free = Free(Math.Min(data.Length, SmallestBlock), data.Length).Span;
            int count = Math.Min(free.Length, data.Length);
            data[..count].CopyTo(free);
            _last!.Advance(count);
            _uncommitted += count;
            data = data[count..];
        }
    }

    private void Commit()
    {
        if (_failure is null)
        {
            _queued += _uncommitted;
            _last?.Publish();
        }
        else if (!_sending)
        {
            ReturnAll();
        }

        _uncommitted = 0;
    }

    private void Finish()
    {
        lock (this)
        {
            _isFinished = true;
            _finished?.TrySetResult();
        }
    }

    private void Send(ref Exception? lost)
    {
        try
        {
            while (!_sending && _failure is null && _queued > 0)
            {
                ValueTask<int> send = _channel.SendAsync(Committed());
                if (!send.IsCompleted)
                {
                    Observer?.OnSendWaits();
                    Volatile.Write(ref _sending, true);
                    Awaited sending = _awaited ??= new Awaited(this);
                    sending.Send = send.GetAwaiter();
                    sending.Send.UnsafeOnCompleted(sending.OnSent);
                    return;
                }

                Sent(send.GetAwaiter().GetResult());
            }

            if (_completed && !_sending && _failure is null && _queued == 0 && !_shutdownBegun)
            {
                _shutdownBegun = true;
                ReturnAll();
                ValueTask shutdown = _channel.ShutdownSendAsync();
                if (shutdown.IsCompleted)
                {
                    shutdown.GetAwaiter().GetResult();
                    Finish();
                    return;
                }

                Awaited ending = _awaited ??= new Awaited(this);
                ending.Shutdown = shutdown.GetAwaiter();
                ending.Shutdown.UnsafeOnCompleted(OnShutdown);
            }
        }
        catch (Exception error)
        {
            lost = error;
            FailLocked(error);
        }
    }

    private void OnSent()
    {
        Exception? lost = null;
        lock (this)
        {
            _sending = false;
            try
            {
                Sent(_awaited!.Send.GetResult());
                Send(ref lost);
            }
            catch (Exception error)
            {
                lost = _failure is null ? error : null;
                FailLocked(error);
            }
        }

        Report(lost);
    }

    private void OnShutdown()
    {
        Exception? lost = null;
        try
        {
            _awaited!.Shutdown.GetResult();
        }
        catch (Exception error)
        {
            lost = error;
            lock (this)
            {
                FailLocked(error);
            }
        }

        Report(lost);
        Finish();
    }

    /// <summary>
    /// Outside of the lock: the owner hears of a failure first, and notes the reason; whoever waited for the bytes may abort the
    /// connection as soon as it is released.
    /// </summary>
    private void Report(Exception? lost)
    {
        if (lost is not null && !Volatile.Read(ref _isReported))
        {
            _owner?.OnOutputLost(lost);
            ReleaseFailed();
        }
    }

    /// <summary>The queued bytes, without those that were written and not flushed.</summary>
    private ReadOnlySequence<byte> Committed()
    {
        Segment end = _first!;
        long left = _queued;
        int from = _sentIndex;
        while (left > end.End - from)
        {
            left -= end.End - from;
            from = 0;
            end = end.NextSegment!;
        }

        return new ReadOnlySequence<byte>(_first!, _sentIndex, end, from + (int)left);
    }

    private void Sent(int count)
    {
        if (_failure is not null)
        {
            ReturnAll();
            return;
        }

        _queued -= count;
        Volatile.Write(ref _sent, _sent + count);
        while (count > 0)
        {
            int available = _first!.End - _sentIndex;
            if (count < available || (count == available && _first == _last))
            {
                _sentIndex += count;
                break;
            }

            count -= available;
            ReturnFirst();
        }

        if (_first is not null && _first == _last && _sentIndex == _first.End && !_leased)
        {
            ReturnFirst();
        }

        ReleaseIfDrained();
    }

    private void ReleaseIfDrained()
    {
        if (_queued <= _lowWater && _failure is null && _drained is not null)
        {
            (TaskCompletionSource<FlushResult> drained, _drained) = (_drained, null);
            drained.TrySetResult(default);
        }
    }

    /// <summary>Those who wait are released by <see cref="ReleaseFailed"/>, outside of the lock and when the owner knows.</summary>
    private void FailLocked(Exception exception)
    {
        _failure ??= exception;
        _queued = 0;
        _uncommitted = 0;
        if (!_sending)
        {
            ReturnAll();
        }
    }

    private void ReleaseFailed()
    {
        Volatile.Write(ref _isReported, true);
        TaskCompletionSource<FlushResult>? drained;
        lock (this)
        {
            (drained, _drained) = (_drained, null);
        }

        if (drained is not null)
        {
            drained.TrySetResult(new FlushResult(isCanceled: false, isCompleted: true));
        }

        Finish();
    }

    private void ReturnFirst()
    {
        Segment first = _first!;
        _first = first.NextSegment;
        _sentIndex = 0;
        if (_first is null)
        {
            _last = null;
        }

        first.Return();
    }

    private void ReturnAll()
    {
        // A block that somebody is writing to is left to the collector.
        while (_first is not null && !(_leased && _first == _last))
        {
            ReturnFirst();
        }
    }

    /// <summary>What is in flight on a channel that does not answer at once.</summary>
    private sealed class Awaited(ChannelWriter writer)
    {
        public readonly Action OnSent = writer.OnSent;
        public ValueTaskAwaiter<int> Send;
        public ValueTaskAwaiter Shutdown;
    }
}
