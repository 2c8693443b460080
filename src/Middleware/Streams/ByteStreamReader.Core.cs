using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <content>How a read takes exclusive access, examines the buffer and waits; the same for every read.</content>
public sealed partial class ByteStreamReader
{
    /// <summary>Decides how many buffered bytes a read takes.</summary>
    private interface ICut
    {
        /// <summary>The public method's name, for the message of R17.</summary>
        string Call { get; }

        /// <summary>The bytes that it needs at least, if that is known; else 0.</summary>
        int Needs { get; }

        /// <summary>Checks the arguments; they are wrong before anything else is (as in Python).</summary>
        Exception? Check();

        /// <summary>The number of bytes to take, or -1 where more must arrive first. Throws what the read throws.</summary>
        long Measure(ByteStreamReader reader);
    }

    /// <summary>Turns the bytes that were cut off into what the read returns.</summary>
    private interface IResult<TResult>
    {
        /// <summary>Whether the result is a copy, so that it stays valid while another read waits.</summary>
        bool Owned { get; }

        TResult Make(in ReadOnlySequence<byte> bytes);
    }

    /// <summary>Couples the writer, whose bytes leave before a read waits and whose loss is this reader's exception.</summary>
    internal void Attach(ByteStreamWriter writer) => _writer = writer;

    /// <summary>Cancels reads that wait and were given no token: those of a callback that is not given the server's.</summary>
    internal void CancelWaitsBy(CancellationToken stopping) => _stopping = stopping;

    /// <summary>Makes the reader see the end after what is buffered: the connection was closed from this side.</summary>
    internal void Close()
    {
        _closed = true;
        _input.CancelPendingRead();
    }

    /// <summary>Releases the pipe's memory, which is used again once the connection is disposed; a late read sees the end.</summary>
    internal void Detach()
    {
        int state = Enter();
        // Gone as if read: a read that is still waking up measures from where the stream is now.
        Discard(_buffer.Length);
        _buffer.Clear();
        _held = false;
        _taken = 0;
        _closed = true;
        _detached = true;
        Volatile.Write(ref _state, state);
    }

    /// <summary>
    /// Returns to the pipe what is buffered, so that another protocol continues with it (W11). Until <see cref="EndUpgrade"/> the
    /// upgrade counts as a read that waits: another one fails at once and names it.
    /// </summary>
    /// <returns>The bytes that were buffered beyond what was read; still in the pipe, and valid until it is read.</returns>
    internal async ValueTask<ReadOnlySequence<byte>> BeginUpgradeAsync(string call)
    {
        if (Enter() == Waiting)
        {
            Volatile.Write(ref _state, Waiting);
            throw Collision(call);
        }

        try
        {
            if (!_held)
            {
                // After a cancelled read the pipe has been told that all was seen: a read that is cancelled at once gets it back.
                _input.CancelPendingRead();
                Hold(await _input.ReadAsync().ConfigureAwait(false));
            }

            ReadOnlySequence<byte> rest = _buffer.Sequence;
            _input.AdvanceTo(rest.Start);
            _held = false;
            _buffer.Clear();
            _arrived = _position;
            Volatile.Write(ref _waitingCall, call);
            Volatile.Write(ref _state, Waiting);
            return rest;
        }
        catch
        {
            Volatile.Write(ref _state, Idle);
            throw;
        }
    }

    /// <summary>
    /// Continues over <paramref name="input"/>, or, where the upgrade has failed (null), over the pipe as it is: still plain, or
    /// closed by the failure.
    /// </summary>
    internal void EndUpgrade(PipeReader? input)
    {
        Enter();
        Volatile.Write(ref _waitingCall, null);
        ForgetBatch();
        if (input is not null)
        {
            _input = input;
            _ended = false;
        }

        Volatile.Write(ref _state, Idle);
    }

    private ValueTask<TResult> Read<TCut, TResultMaker, TResult>(TCut cut, TResultMaker result, CancellationToken cancellationToken)
        where TCut : ICut
        where TResultMaker : IResult<TResult>
    {
        if (cut.Check() is Exception wrong)
        {
            return ValueTask.FromException<TResult>(wrong);
        }

        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<TResult>(cancellationToken);
        }

        int before = Enter();
        int after = before;
        try
        {
            if (_exception is Exception exception)
            {
                return ValueTask.FromException<TResult>(exception);
            }

            if (before == Waiting && !result.Owned)
            {
                return ValueTask.FromException<TResult>(Collision(cut.Call));
            }

            if (before == Idle && _fed is not null)
            {
                CatchUp();
            }

            long length = cut.Measure(this);
            if (length >= 0)
            {
                return new ValueTask<TResult>(Take<TResultMaker, TResult>(result, length));
            }

            if (before == Waiting)
            {
                return ValueTask.FromException<TResult>(Collision(cut.Call));
            }

            // From here on the waiting read has exclusive access, and releases it itself.
            after = Busy;
            return ReadMore<TCut, TResultMaker, TResult>(cut, result, cancellationToken.CanBeCanceled ? cancellationToken : _stopping);
        }
        catch (Exception error)
        {
            // The read's own error travels in its task, as from every asynchronous method.
            return ValueTask.FromException<TResult>(error);
        }
        finally
        {
            if (after != Busy)
            {
                Volatile.Write(ref _state, after);
            }
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<TResult> ReadMore<TCut, TResultMaker, TResult>(
        TCut cut, TResultMaker result, CancellationToken cancellationToken)
        where TCut : ICut
        where TResultMaker : IResult<TResult>
    {
        try
        {
            while (true)
            {
                if (cut.Needs > 0 && _input is TransportPipeReader direct)
                {
                    direct.Driver.Expect(cut.Needs - _buffer.Length);
                }

                LetGo();
                try
                {
                    if (_closed)
                    {
                        _ended = true;
                    }
                    else
                    {
                        ValueTask<ReadResult> arrival = _input.ReadAsync(cancellationToken);
                        bool waiting = !arrival.IsCompleted;
                        if (waiting)
                        {
                            Volatile.Write(ref _waitingCall, cut.Call);
                            Volatile.Write(ref _state, Waiting);
                        }

                        ReadResult arrived;
                        try
                        {
                            if (waiting)
                            {
                                // Without exclusive access: a pipe with inline scheduling runs the peer's code here, which may call this reader.
                                _writer?.FlushBeforeWait();
                            }

                            arrived = await arrival.ConfigureAwait(false);
                        }
                        finally
                        {
                            if (waiting)
                            {
                                Enter();
                                Volatile.Write(ref _waitingCall, null);
                            }
                        }

                        if (_detached)
                        {
                            // Disposed while this read was waking up: the memory of what arrived is used by another connection by now.
                            _ended = true;
                        }
                        else
                        {
                            Hold(arrived);
                        }
                    }
                }
                catch (Exception) when (_closed && !cancellationToken.IsCancellationRequested)
                {
                    // Closed or aborted from this side: the end, as in asyncio, whatever the pipe makes of it.
                    _ended = true;
                }
                catch (Exception lost) when (lost is IOException or ConnectionAbortedException)
                {
                    _exception ??= lost;
                }

                if (_exception is Exception exception)
                {
                    throw exception;
                }

                long length = cut.Measure(this);
                if (length >= 0)
                {
                    return Take<TResultMaker, TResult>(result, length);
                }
            }
        }
        finally
        {
            Volatile.Write(ref _state, Idle);
        }
    }

    /// <summary>
    /// Takes over what was fed since the last read: with manual feeding every read sees all that was fed, as in asyncio. Over a
    /// connection a read that the buffered bytes can answer does not receive.
    /// </summary>
    private void CatchUp()
    {
        if (Buffered > _buffer.Length || (_fedEof && !_ended))
        {
            LetGo();
            if (_input.TryRead(out ReadResult fed))
            {
                Hold(fed);
            }
        }
    }

    /// <summary>Reports to the pipe what was taken, and that the rest was examined and stays.</summary>
    private void LetGo()
    {
        if (_held)
        {
            _input.AdvanceTo(_buffer.Start, _buffer.End);
            _held = false;
            if (_buffer.IsEmpty)
            {
                // The pipe may reuse the segments that an empty buffer still points into.
                _buffer.Clear();
            }
        }
    }

    private void Hold(in ReadResult result)
    {
        _buffer.Set(_taken == 0 ? result.Buffer : result.Buffer.Slice(_taken));
        _taken = 0;
        _held = true;
        if (_fed is null)
        {
            // With manual feeding the bytes that no read has examined count as well, as in asyncio.
            Volatile.Write(ref _arrived, _position + _buffer.Length);
        }

        _ended |= result.IsCompleted;
    }

    /// <summary>The length of the message at the start of the buffer, or -1 where more must arrive first.</summary>
    private long MeasureMessage<T>(MessageParser<T> parser, out T message)
    {
        ReadOnlySequence<byte> buffer = _buffer.Sequence;
        message = default!;
        if (!buffer.IsEmpty)
        {
            var input = new SequenceReader<byte>(buffer);
            if (parser(ref input, out message))
            {
                // As for a record: the limit does not depend on the number of segments that the message arrived in.
                return input.Consumed <= Limit ? input.Consumed : throw Overrun(
                    $"A message of {input.Consumed} bytes is longer than the limit of {Limit}.", (int)input.Consumed);
            }

            if (buffer.Length > Limit)
            {
                throw Overrun($"{buffer.Length} bytes without a whole message are over the limit of {Limit}.", (int)buffer.Length);
            }
        }

        return _ended ? throw new IncompleteReadException(DiscardAll(), null) { Reader = this } : -1;
    }

    private TResult Take<TResultMaker, TResult>(TResultMaker result, long length)
        where TResultMaker : IResult<TResult>
    {
        return result.Make(length == 0 ? default : Cut(length));
    }

    private void Discard(long length) => Cut(length);

    private ReadOnlySequence<byte> Cut(long length)
    {
        ReadOnlySequence<byte> cut = _buffer.Cut(length);
        Volatile.Write(ref _position, _position + length);
        if (!_held)
        {
            _taken += length;
        }

        return cut;
    }

    private byte[] DiscardAll()
    {
        byte[] all = _buffer.Sequence.ToArray();
        Discard(all.Length);
        return all;
    }

    /// <summary>Takes exclusive access. Returns the state before: <see cref="Idle"/> or <see cref="Waiting"/>.</summary>
    private int Enter()
    {
        SpinWait spin = default;
        while (true)
        {
            int state = Volatile.Read(ref _state);
            if (state != Busy && Interlocked.CompareExchange(ref _state, Busy, state) == state)
            {
                return state;
            }

            // Another thread has exclusive access for a moment: it examines the buffer and leaves, or begins to wait.
            spin.SpinOnce();
        }
    }

    private LimitOverrunException Overrun(string message, int consumed) => new(message, consumed) { Reader = this };

    private InvalidOperationException Collision(string call) => new(
        $"{call} was called while {_waitingCall} is already waiting for data on this reader. Await the first call before the second. "
        + "WaitAsync and Task.WhenAny do not end a read: if the first call was abandoned after a timeout, pass it a CancellationToken instead, "
        + "which ends it without losing bytes.");
}
