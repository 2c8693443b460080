using System.Buffers;
using System.IO.Pipelines;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;

namespace ByteStreams.Transport;

/// <summary>
/// A connection's input. A read that finds nothing buffered receives, on the caller's own thread if bytes are there already;
/// there is no pump, so a peer whose bytes nobody reads is paused by the medium itself (R19).
/// </summary>
/// <remarks>
/// A receive that is in flight when its read is cancelled stays in flight and its bytes are buffered for the next read: nothing
/// can be lost, whatever the channel does with cancellation (R18). A block is held only while it holds bytes or receives some.
/// Whoever completes a receive runs the reader's continuation inline; cancellation never does.
/// </remarks>
internal sealed class ChannelReader : PipeReader, IValueTaskSource<ReadResult>, IReceiver, IPausedReader
{
    /// <summary>What a block starts with: one page, room for most messages; who fills it gets a larger one.</summary>
    private const int SmallestBlock = 4096;

    /// <summary>Where a tail with less room than this is left alone: short receives cost a system call each.</summary>
    private const int LeastRoom = 512;

    /// <summary>The size of the block into which closing connections discard what still arrives; 1 MiB takes 64 receives.</summary>
    private const int DiscardBlock = 16384;

    /// <summary>The largest block for who says how much is needed; more arrives in several.</summary>
    private const int LargestExpected = 262144;

    // All state is locked by the object itself: nobody else locks it, and a lock of its own would cost each idle connection 48 bytes.
    private readonly ByteChannel _channel;
    private int _largestBlock;
    private readonly IInputOwner? _owner;

    private Segment? _first;
    private Segment? _last;
    private int _firstIndex;
    private long _received;
    private long _examined;
    private long _consumed;
    private long _shown;
    private int _blockSize = SmallestBlock;
    private int _needed;
    private bool _moreLikely;

    private bool _inFlight;
    private bool _intoBlock;

    // Made at first use: an event loop calls the reader itself, and finds the bytes there.
    private Awaited? _awaited;

    private bool _ended;
    private Exception? _failure;

    // The send side's failure, while a receive that has bytes to bring is in flight.
    private Exception? _loss;
    private bool _canceled;
    private bool _completed;

    private IOnward? _onward;

    private bool _waiting;
    private ManualResetValueTaskSourceCore<ReadResult> _waiter;
    private CancellationToken _waitToken;
    private CancellationToken _announced;
    private CancellationTokenRegistration _registration;

    private bool _discarding;
    private Discarding? _discard;
    private bool _watching;
    private long _watchBound;

    // The limit of what all connections buffer.
    private bool _isPaused;
    private bool _isQueued;
    private bool _mayExceed;

    public ChannelReader(ByteChannel channel, int largestBlock, IInputOwner? owner = null)
    {
        _channel = channel;
        _largestBlock = Math.Max(SmallestBlock, largestBlock);
        _owner = owner;
    }

    /// <summary>Bytes received so far, the discarded ones included.</summary>
    public long BytesReceived => Volatile.Read(ref _received) + Discarded;

    /// <summary>What is called when a read begins to wait, and at the end; null where no timeout counts from there.</summary>
    public IProgressObserver? Observer { get; set; }

    /// <summary>Whether a read waits.</summary>
    public bool IsWaiting => Volatile.Read(ref _waiting);

    /// <summary>Bytes that were received and not consumed.</summary>
    public long Buffered => Volatile.Read(ref _received) - Volatile.Read(ref _consumed);

    bool IPausedReader.IsPaused
    {
        get => Volatile.Read(ref _isPaused);
        set => Volatile.Write(ref _isPaused, value);
    }

    bool IPausedReader.IsQueued
    {
        get => _isQueued;
        set => _isQueued = value;
    }

    /// <summary>Half of a small block: a connection that holds less may take another above the limit.</summary>
    bool IPausedReader.HoldsLittle => Held < BufferLimit.SmallBlock / 2;

    public bool HasPeerEnded => _channel.HasPeerEnded;

    /// <summary>What the connection holds: bytes that were received, and answers that wait to be sent.</summary>
    private long Held => Buffered + (_onward?.Writer.Queued ?? _owner?.BufferedOutput ?? 0);

    /// <summary>Bytes thrown away by <see cref="Discard"/> so far.</summary>
    public long Discarded => Volatile.Read(ref _discard) is Discarding discard ? Volatile.Read(ref discard.Bytes) : 0;

    /// <summary>
    /// A reader needs so many more bytes: the next block is that large, and later ones may be, beyond the bound of the others;
    /// never more than <see cref="LargestExpected"/>.
    /// </summary>
    public void Expect(long more)
    {
        _needed = (int)Math.Min(more, LargestExpected);
        if (more <= _blockSize)
        {
            return;
        }

        lock (this)
        {
            _blockSize = (int)Math.Min(more + SmallestBlock, LargestExpected);
            _largestBlock = Math.Max(_largestBlock, _blockSize);
        }
    }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) => ReadAsync(null, cancellationToken);

    /// <summary>
    /// As a read, for who passes everything on: what arrives is sent from where it lies as long as the other side's channel takes all of
    /// it at once, and the read goes on waiting. It answers as soon as there is anything else to do: bytes that were not taken, the end,
    /// a cancellation. A loss of the other side shows where those bytes are written to it.
    /// </summary>
    /// <param name="onward">The other side.</param>
    public ValueTask<ReadResult> ReadAndPassOnAsync(IOnward onward) => ReadAsync(onward, CancellationToken.None);

    private ValueTask<ReadResult> ReadAsync(IOnward? onward, CancellationToken cancellationToken)
    {
        short version;
        bool ended = false;
        try
        {
            lock (this)
            {
                ThrowIfUnreadable();
                _onward = onward;
                cancellationToken.ThrowIfCancellationRequested();
                while (true)
                {
                    if (TryResult(out ReadResult result))
                    {
                        ReceiveAhead(ref ended);
                        return new ValueTask<ReadResult>(result);
                    }

                    if (_inFlight || !Receive(ref ended))
                    {
                        break;
                    }
                }

                Observer?.OnReadWaits();
                Volatile.Write(ref _waiting, true);
                _waiter.Reset();
                version = _waiter.Version;
                _waitToken = cancellationToken;
                if (cancellationToken != _announced)
                {
                    Register(cancellationToken);
                }
            }
        }
        catch (Exception error)
        {
            return ValueTask.FromException<ReadResult>(error);
        }
        finally
        {
            if (ended)
            {
                _owner?.OnInputEnded(_failure);
            }
        }

        return new ValueTask<ReadResult>(this, version);
    }

    public override bool TryRead(out ReadResult result)
    {
        bool ended = false;
        bool any;
        lock (this)
        {
            ThrowIfUnreadable();
            _onward = null;
            any = TryResult(out result);
            ReceiveAhead(ref ended);
        }

        if (ended)
        {
            _owner?.OnInputEnded(_failure);
        }

        return any;
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        bool ended = false;
        lock (this)
        {
            if (_completed)
            {
                throw new InvalidOperationException("The input was completed; nothing more can be read from it.");
            }

            if (consumed.GetObject() is Segment to)
            {
                int index = consumed.GetInteger();
                long position = to.RunningIndex + index;
                ArgumentOutOfRangeException.ThrowIfGreaterThan(position, _received, nameof(consumed));
                ArgumentOutOfRangeException.ThrowIfLessThan(position, _consumed, nameof(consumed));
                while (_first != to)
                {
                    ReturnFirst();
                }

                _firstIndex = index;
                _consumed = position;
                ReturnIfEmpty();
            }

            if (examined.GetObject() is Segment seen)
            {
                // Also backwards: whoever takes over the pipe has not seen what the last reader has. The segment may have been
                // returned just now, when all of it was consumed; then it was examined too.
                _examined = Math.Clamp(seen.RunningIndex + examined.GetInteger(), _consumed, _received);
            }

            // What was consumed makes room under the bound for whoever waits for the end.
            ReceiveAhead(ref ended);
        }

        if (ended)
        {
            _owner?.OnInputEnded(_failure);
        }
    }

    public override void CancelPendingRead()
    {
        ReadResult result;
        lock (this)
        {
            if (!_waiting)
            {
                _canceled = true;
                return;
            }

            _waiting = false;
            result = new ReadResult(Buffer(), isCanceled: true, _ended);
            _waiter.RunContinuationsAsynchronously = true;
        }

        _waiter.SetResult(result);
    }

    /// <summary>Lets go of everything buffered. The peer's further bytes stay in the medium, or are discarded at the close.</summary>
    public override void Complete(Exception? exception = null)
    {
        lock (this)
        {
            if (_completed)
            {
                return;
            }

            _completed = true;
            ReturnAll();
            _registration.Unregister();
        }

        Fail(new InvalidOperationException("The input was completed while a read was waiting."), waiterOnly: true);
    }

    /// <summary>
    /// Goes on receiving although nobody reads, so that the peer's end or a reset is noticed by somebody who waits for just that:
    /// up to <paramref name="bound"/> buffered bytes, and behind what a reader holds already, one block more.
    /// </summary>
    public void Watch(long bound)
    {
        bool ended = false;
        lock (this)
        {
            _watching = true;
            _watchBound = bound;
            ReceiveAhead(ref ended);
        }

        if (ended)
        {
            _owner?.OnInputEnded(_failure);
        }
    }

    /// <summary>
    /// Counts and discards what arrives from now on, until the end, a loss, or until <paramref name="bound"/> bytes were discarded: the
    /// lingering close. A second call sets another bound. The owner's <see cref="IInputOwner.OnDiscarded"/> reports a bound that is reached.
    /// </summary>
    public void Discard(long bound)
    {
        bool ended = false;
        bool reached;

        // Before the lock: a peer that sends fast keeps the receiving thread inside of it.
        Discarding discard = Volatile.Read(ref _discard) ?? Interlocked.CompareExchange(ref _discard, new Discarding(), null) ?? _discard;
        Volatile.Write(ref discard.Bound, bound);
        lock (this)
        {
            _discarding = true;
            discard.IsReported = false;
            ReceiveAhead(ref ended);
            reached = TryReportDiscarded();
        }

        if (ended)
        {
            _owner?.OnInputEnded(_failure);
        }
        else if (reached)
        {
            _owner?.OnDiscarded();
        }
    }

    /// <summary>Whether the peer has ended its direction, or the connection is lost.</summary>
    public bool IsEnded
    {
        get
        {
            lock (this)
            {
                return _ended || _failure is not null;
            }
        }
    }

    /// <summary>Every read from now on fails with <paramref name="exception"/>, after what is buffered.</summary>
    public void Fail(Exception exception) => Fail(exception, waiterOnly: false);

    /// <summary>
    /// As <see cref="Fail(Exception)"/> for a send that has failed, after everything that the channel has received by now is buffered as well:
    /// a peer that answers and then resets is read to its end. At most the channel's own receive buffer is taken over.
    /// </summary>
    /// <returns>
    /// Whether it is done; false while a receive in flight still brings bytes: the owner's <see cref="IInputOwner.OnInputEnded"/> reports it then.
    /// </returns>
    public bool FailAfterReceived(Exception loss)
    {
        Wakes wakes;
        lock (this)
        {
            if (_ended || _failure is not null)
            {
                return true;
            }

            if (_intoBlock && !_completed && _channel.HasArrived)
            {
                _loss = loss;
                return false;
            }

            ReceiveRest(loss);
            bool ended = false;
            wakes = Settle(ref ended);
            _waiter.RunContinuationsAsynchronously = true;
        }

        Wake(wakes, ended: false);
        return true;
    }

    ReadResult IValueTaskSource<ReadResult>.GetResult(short token) => _waiter.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => _waiter.GetStatus(token);

    void IValueTaskSource<ReadResult>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _waiter.OnCompleted(continuation, state, token, flags);

    private void ThrowIfUnreadable()
    {
        if (_completed)
        {
            throw new InvalidOperationException("The input was completed; nothing more can be read from it.");
        }

        if (_waiting)
        {
            throw new InvalidOperationException("A read is already waiting on this connection; await it before the next.");
        }
    }

    private bool TryResult(out ReadResult result)
    {
        if (_canceled)
        {
            _canceled = false;
            result = new ReadResult(Buffer(), isCanceled: true, _ended);
            return true;
        }

        if (_received > _examined && _onward is not null)
        {
            PassOn();
        }

        if (_received > _examined || _ended)
        {
            result = new ReadResult(Buffer(), isCanceled: false, _ended);
            return true;
        }

        result = default;
        return _failure is null ? false : throw _failure;
    }

    /// <summary>Has the other side send what is buffered, as far as it takes it now.</summary>
    private void PassOn()
    {
        _onward!.OnPassing();
        ChannelWriter writer = _onward.Writer;
        while (_first is not null && _consumed < _received)
        {
            int length = _first.End - _firstIndex;
            int taken = writer.TrySend(_first.Memory.Span[_firstIndex..]);
            _firstIndex += taken;
            _consumed += taken;
            if (taken < length)
            {
                return;
            }

            if (_first != _last)
            {
                ReturnFirst();
                _firstIndex = 0;
            }
        }

        _examined = _received;
        ReturnIfEmpty();
    }

    private ReadOnlySequence<byte> Buffer()
    {
        _shown = _received;
        // Of nothing there is no position: the block that a receive is writing to may be gone before the reader advances.
        return _received == _consumed ? default : new ReadOnlySequence<byte>(_first!, _firstIndex, _last!, _last!.End);
    }

    /// <summary>Begins a wait or a receive. Answers true if something has changed already, false if it is in flight.</summary>
    private bool Receive(ref bool ended)
    {
        if (TryPause())
        {
            return false;
        }

        try
        {
            if (_channel.CallsReceiver)
            {
                do
                {
                    if (!_channel.WaitToReceive(this))
                    {
                        _inFlight = true;
                        return false;
                    }
                }
                while (!TryReceiveIntoBlock(ref ended));

                return true;
            }

            if (!_moreLikely || BufferLimit.Process.IsExceeded)
            {
                ValueTask wait = _channel.WaitToReceiveAsync();
                if (!wait.IsCompleted)
                {
                    Awaited awaited = _awaited ??= new Awaited(this);
                    awaited.Wait = wait.GetAwaiter();
                    _inFlight = true;
                    awaited.Wait.UnsafeOnCompleted(awaited.OnWaited);
                    return false;
                }

                wait.GetAwaiter().GetResult();
            }

            return ReceiveIntoBlock(ref ended);
        }
        catch (Exception error)
        {
            Lose(error, ref ended);
            return true;
        }
    }

    private bool TryReceiveIntoBlock(ref bool ended)
    {
        if (!_channel.TryReceive(Room().Span, out int count, out Exception? loss))
        {
            ReturnUnused();
            return false;
        }

        if (loss is not null)
        {
            ReturnUnused();
            Lose(loss, ref ended);
        }
        else
        {
            Accept(count, ref ended);
        }

        return true;
    }

    private bool ReceiveIntoBlock(ref bool ended)
    {
        ValueTask<int> receive = _channel.ReceiveAsync(Room());
        if (!receive.IsCompleted)
        {
            Awaited awaited = _awaited ??= new Awaited(this);
            awaited.Receive = receive.GetAwaiter();
            _inFlight = true;
            _intoBlock = true;
            awaited.Receive.UnsafeOnCompleted(awaited.OnReceived);
            return false;
        }

        if (receive.IsFaulted)
        {
            // Not thrown and caught either, which would cost as much as a connection.
            Lose(receive.AsTask().Exception!.InnerException!, ref ended);
            return true;
        }

        Accept(receive.GetAwaiter().GetResult(), ref ended);
        return true;
    }

    void IReceiver.OnReady() => OnWaited();

    void IReceiver.OnLost() => _owner?.OnLossReported();

    /// <summary>Has the owner called where the channel reports a loss while no receive waits. Returns whether the channel can do so.</summary>
    public bool ReportLoss() => _channel.ReportLoss(this);

    private void OnWaited()
    {
        bool ended = false;
        Wakes wakes;
        lock (this)
        {
            _inFlight = false;
            if (_channel.CallsReceiver && TryPause())
            {
                return;
            }

            try
            {
                if (_channel.CallsReceiver)
                {
                    if (!TryReceiveIntoBlock(ref ended) && !Receive(ref ended))
                    {
                        return;
                    }
                }
                else
                {
                    _awaited!.Wait.GetResult();
                    if (TryPause() || !ReceiveIntoBlock(ref ended))
                    {
                        return;
                    }
                }
            }
            catch (Exception error)
            {
                Lose(error, ref ended);
            }

            FailIfLost(ref ended);
            wakes = Settle(ref ended);
        }

        Wake(wakes, ended);
    }

    private void OnReceived()
    {
        bool ended = false;
        Wakes wakes;
        lock (this)
        {
            _inFlight = false;
            _intoBlock = false;
            try
            {
                int count = _awaited!.Receive.GetResult();
                // The kernel reports a reset once: after a send that it was reported to, a receive reads it as an end.
                if (count > 0 || _loss is null)
                {
                    Accept(count, ref ended);
                }
            }
            catch (Exception error)
            {
                Lose(error, ref ended);
            }

            FailIfLost(ref ended);
            wakes = Settle(ref ended);
        }

        Wake(wakes, ended);
    }

    /// <summary>
    /// Pauses where the process buffers more than it may, this connection holds more than a little, and a receive would take another block.
    /// What arrives stays with the peer, as where nothing reads.
    /// </summary>
    private bool TryPause()
    {
        _isPaused = false;
        return BufferLimit.Process.IsExceeded && IsOverShare() && BufferLimit.Process.TryPause(this);
    }

    /// <summary>Whether the connection holds all that it may above the limit.</summary>
    private bool IsOverShare() =>
        !_discarding && !_mayExceed && _last is not { Free.Length: > 0 } && Held >= BufferLimit.SmallBlock / 2;

    void IPausedReader.Resume(bool beyondLimit)
    {
        bool ended = false;
        Wakes wakes;
        lock (this)
        {
            _mayExceed |= beyondLimit;
            if (_inFlight || _ended || _failure is not null || !(_waiting || _watching))
            {
                return;
            }

            try
            {
                // On an event loop the handler goes on where it runs.
                if (_channel.CallsReceiver && !_channel.WaitToReceiveLater(this))
                {
                    _inFlight = true;
                    return;
                }
            }
            catch (Exception error)
            {
                Lose(error, ref ended);
            }

            if (_waiting && _failure is null)
            {
                _ = Receive(ref ended);
            }

            wakes = Settle(ref ended);
            _waiter.RunContinuationsAsynchronously = true;
        }

        Wake(wakes, ended);
    }

    private void FailIfLost(ref bool ended)
    {
        if (_loss is Exception loss && _failure is null && !_intoBlock)
        {
            ReceiveRest(loss);
            ended = true;
        }
    }

    /// <summary>Buffers what the channel has received, without a wait, and fails what comes after it.</summary>
    private void ReceiveRest(Exception loss)
    {
        bool ended = false;
        Segment? shown = _last;

        // A Unix peer that reads no more can go on sending: what comes from now on is not of before the loss.
        long end = _received + Math.Max(LargestExpected, _intoBlock ? 0 : _channel.Arrived);
        while (!_intoBlock && !_completed && !_discarding && _received < end && !(BufferLimit.Process.IsExceeded && IsOverShare())
            && _channel.TryReceive(Room().Span, out int count, out Exception? failure))
        {
            if (failure is not null || count == 0)
            {
                break;
            }

            Accept(count, ref ended);
            shown = _last;
        }

        // A block that was there before may be where the reader's buffer ends, although it is empty.
        if (_last != shown)
        {
            ReturnUnused();
        }

        _failure ??= loss;
        ReturnIfEmpty();
    }

    private void ReceiveAhead(ref bool ended)
    {
        while (!_inFlight && !_ended && _failure is null
            && (_discarding
                ? _discard!.Bytes < Volatile.Read(ref _discard.Bound)
                : _watching && (_received - _consumed < _watchBound || _received == _shown)))
        {
            if (!Receive(ref ended))
            {
                return;
            }
        }
    }

    /// <summary>Looks who can go on now that something has arrived or ended.</summary>
    private Wakes Settle(ref bool ended)
    {
        Wakes wakes = default;
        ReceiveAhead(ref ended);
        if (_waiting)
        {
            try
            {
                // Where all of it was passed on, the wait goes on, and the next receive has to begin.
                while (!(wakes.Waiter = TryResult(out wakes.Result)) && _onward is not null && !_inFlight && Receive(ref ended))
                {
                }

                ReceiveAhead(ref ended);
            }
            catch (Exception error)
            {
                wakes.Failure = error;
                wakes.Waiter = true;
            }

            _waiting = !wakes.Waiter;
            _waiter.RunContinuationsAsynchronously = false;
        }

        wakes.IsDiscarded = TryReportDiscarded();
        return wakes;
    }

    /// <summary>Whether the bound of what is discarded was reached, once for each bound.</summary>
    private bool TryReportDiscarded()
    {
        if (!_discarding || _ended || _failure is not null || _discard!.IsReported || _discard.Bytes < Volatile.Read(ref _discard.Bound))
        {
            return false;
        }

        return _discard.IsReported = true;
    }

    private void Wake(in Wakes wakes, bool ended)
    {
        if (ended)
        {
            _owner?.OnInputEnded(_failure);
        }
        else if (wakes.IsDiscarded)
        {
            _owner?.OnDiscarded();
        }

        if (wakes.Failure is not null)
        {
            _waiter.SetException(wakes.Failure);
        }
        else if (wakes.Waiter)
        {
            _waiter.SetResult(wakes.Result);
        }
    }

    private void Accept(int count, ref bool ended)
    {
        if (count == 0)
        {
            Observer?.OnDirectionEnds();
            _ended = true;
            ended = true;
            ReturnIfEmpty();
            return;
        }

        if (_received + Discarded == 0)
        {
            _owner?.OnInputBegun();
        }

        if (_discard is { IsBegun: true } discard)
        {
            Volatile.Write(ref discard.Bytes, discard.Bytes + count);
            return;
        }

        Segment tail = _last!;
        bool filled = count == tail.Free.Length;
        tail.Advance(count);
        tail.Publish();
        Volatile.Write(ref _received, _received + count);
        if (_onward is not null)
        {
            Observer?.OnReadWaits();
        }

        // A receive that filled its block has more behind it: the next goes without a wait, into a larger block. A short one
        // has emptied the medium, and most likely the peer waits for an answer.
        _moreLikely = filled;
        _blockSize = filled ? Math.Min(_blockSize * 4, _largestBlock) : Math.Max(SmallestBlock, Math.Min(_blockSize, count * 4));
        if (_completed)
        {
            ReturnAll();
        }
    }

    private void Lose(Exception error, ref bool ended)
    {
        if (_failure is null && !_ended)
        {
            _failure = error;
            ended = true;
        }

        ReturnIfEmpty();
    }

    private void Fail(Exception exception, bool waiterOnly)
    {
        bool wake;
        if (!waiterOnly)
        {
            // Before the lock: a peer that sends fast keeps the receiving thread inside of it.
            if (Volatile.Read(ref _discard) is Discarding discard)
            {
                Volatile.Write(ref discard.Bound, 0);
            }
        }

        lock (this)
        {
            if (!waiterOnly)
            {
                if (!_ended)
                {
                    _failure ??= exception;
                }

            }

            wake = _waiting;
            _waiting = false;
            _waiter.RunContinuationsAsynchronously = true;
        }

        if (wake)
        {
            _waiter.SetException(exception);
        }
    }

    /// <summary>Whoever cancels this token calls <see cref="CancelWait"/> behind that: a read that waits with it registers nothing.</summary>
    public void WillCancel(CancellationToken token)
    {
        lock (this)
        {
            _announced = token;
        }
    }

    /// <summary>Cancels the read that waits with this token, if one does; the token has fired already.</summary>
    public void CancelWait(CancellationToken token)
    {
        lock (this)
        {
            if (!_waiting || token != _waitToken)
            {
                return;
            }

            _waiting = false;
            _waiter.RunContinuationsAsynchronously = true;
        }

        _waiter.SetException(new OperationCanceledException(token));
    }

    /// <summary>
    /// Anew for each wait, also with the token of the last: a source that is used again forgets its registrations
    /// (<see cref="CancellationTokenSource.TryReset"/>), and nobody outside of it can tell. The last one is taken back only here, where
    /// it no longer delays whoever got the bytes; until then it finds no wait of its token.
    /// </summary>
    private void Register(CancellationToken token)
    {
        _registration.Unregister();
        _registration = token.UnsafeRegister(static (reader, fired) => ((ChannelReader)reader!).CancelWait(fired), this);
    }

    private Memory<byte> Room()
    {
        if (_discarding)
        {
            // What a reader may still hold stays as it is; what is thrown away goes elsewhere.
            _discard!.IsBegun = true;
            return Discarding.Scratch;
        }

        if (_last is not null && _last.Free.Length >= (BufferLimit.Process.IsExceeded ? 1 : LeastRoom))
        {
            return _last.Free;
        }

        Segment segment = Segment.Take();
        segment.Rent(BlockSize(), _last);
        if (_last is null)
        {
            segment.Rebase(_received);
            _first = segment;
            _firstIndex = 0;
        }

        _last = segment;
        return segment.Free;
    }

    /// <summary>
    /// Where a peer does not take its answers, no more is received at once than may still be answered: the rest stays with whoever
    /// sends it, instead of in a large block here. What a reader cannot do without is received in any case.
    /// </summary>
    private int BlockSize()
    {
        long room = _onward?.Writer.Room ?? _owner?.RoomForAnswers ?? long.MaxValue;
        room = Math.Max(room, Math.Max(_needed, SmallestBlock));
        _needed = 0;
        if (BufferLimit.Process.IsExceeded && !_mayExceed)
        {
            return BufferLimit.SmallBlock;
        }

        return room >= _blockSize ? _blockSize : 1 << BitOperations.Log2((ulong)room);
    }

    private void ReturnFirst()
    {
        Segment first = _first!;
        _first = first.NextSegment;
        if (_first is null)
        {
            _last = null;
        }

        first.Return();
    }

    /// <summary>Gives back the block that was taken for a receive which has found nothing.</summary>
    private void ReturnUnused()
    {
        if (_last is not { End: 0 } unused)
        {
            return;
        }

        if (_first == unused)
        {
            ReturnFirst();
            return;
        }

        Segment before = _first!;
        while (before.NextSegment != unused)
        {
            before = before.NextSegment!;
        }

        before.CutNext();
        _last = before;
        unused.Return();
    }

    private void ReturnIfEmpty()
    {
        if (_first is not null && _first == _last && _firstIndex == _first.End && !_intoBlock)
        {
            ReturnFirst();
        }
    }

    private void ReturnAll()
    {
        // The block that a receive is writing to stays; it is returned when that receive is accepted.
        while (_first is not null && !(_intoBlock && _first == _last))
        {
            ReturnFirst();
        }

        if (_first is not null)
        {
            _firstIndex = _first.End;
        }

        _consumed = _received;
        _examined = _received;
    }

    /// <summary>What is in flight on a channel that is awaited.</summary>
    private sealed class Awaited(ChannelReader reader)
    {
        public readonly Action OnWaited = reader.OnWaited;
        public readonly Action OnReceived = reader.OnReceived;
        public ValueTaskAwaiter Wait;
        public ValueTaskAwaiter<int> Receive;
    }

    /// <summary>What is thrown away at the close, and up to where.</summary>
    private sealed class Discarding
    {
        /// <summary>Of all connections: its content is never read.</summary>
        public static readonly byte[] Scratch = new byte[DiscardBlock];

        /// <summary>Whether receives go to the scratch block: one that was in flight before goes to a block of the reader.</summary>
        public bool IsBegun;
        public long Bytes;
        public long Bound;
        public bool IsReported;
    }

    /// <summary>Who goes on, once the lock is released.</summary>
    private struct Wakes
    {
        public ReadResult Result;
        public Exception? Failure;
        public bool IsDiscarded;
        public bool Waiter;
    }
}
