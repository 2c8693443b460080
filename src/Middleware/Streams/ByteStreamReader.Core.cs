using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <content>How a read takes turns, looks at the buffer and waits; the same for every kind of read.</content>
public sealed partial class ByteStreamReader
{
    /// <summary>Decides how many buffered bytes a read takes.</summary>
    private interface ICut
    {
        /// <summary>The public method's name, for the message of R17.</summary>
        string Call { get; }

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

    /// <summary>Makes the reader see the end behind what is buffered: the connection was closed from this side.</summary>
    internal void Close()
    {
        _closed = true;
        _input.CancelPendingRead();
    }

    /// <summary>Lets go of the pipe's memory, which belongs to others once the connection is disposed; a late read sees the end.</summary>
    internal void Detach()
    {
        int state = Enter();
        _buffer = default;
        _held = false;
        _taken = 0;
        _closed = true;
        Volatile.Write(ref _state, state);
    }

    /// <summary>
    /// Gives back to the pipe what is buffered, so that another protocol goes on with it (W11), and keeps other reads out until
    /// <see cref="EndUpgrade"/>.
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

            ReadOnlySequence<byte> rest = _buffer;
            _input.AdvanceTo(rest.Start);
            _held = false;
            _buffer = default;
            return rest;
        }
        catch
        {
            Volatile.Write(ref _state, Idle);
            throw;
        }
    }

    /// <summary>Goes on over <paramref name="input"/>, or, where it is null, stays unusable behind a failed upgrade.</summary>
    internal void EndUpgrade(PipeReader? input)
    {
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

            long length = cut.Measure(this);
            if (length >= 0)
            {
                return new ValueTask<TResult>(Take<TResultMaker, TResult>(result, length));
            }

            if (before == Waiting)
            {
                return ValueTask.FromException<TResult>(Collision(cut.Call));
            }

            // From here on the turn belongs to the waiting read, which gives it up itself.
            after = Busy;
            return ReadMore<TCut, TResultMaker, TResult>(cut, result, cancellationToken);
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
                if (_held)
                {
                    _input.AdvanceTo(_buffer.Start, _buffer.End);
                    _held = false;
                }

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
                            _writer?.FlushBeforeWait();
                            Volatile.Write(ref _waitingCall, cut.Call);
                            Volatile.Write(ref _state, Waiting);
                        }

                        ReadResult arrived;
                        try
                        {
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

                        Hold(arrived);
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

    private void Hold(in ReadResult result)
    {
        _buffer = _taken == 0 ? result.Buffer : result.Buffer.Slice(_taken);
        _taken = 0;
        _held = true;
        _ended |= result.IsCompleted;
    }

    private TResult Take<TResultMaker, TResult>(TResultMaker result, long length)
        where TResultMaker : IResult<TResult>
    {
        if (length == 0)
        {
            return result.Make(default);
        }

        SequencePosition end = _buffer.GetPosition(length);
        TResult made = result.Make(_buffer.Slice(_buffer.Start, end));
        Discard(length, end);
        return made;
    }

    private void Discard(long length) => Discard(length, _buffer.GetPosition(length));

    private void Discard(long length, SequencePosition end)
    {
        _buffer = _buffer.Slice(end);
        _position += length;
        if (!_held)
        {
            _taken += length;
        }
    }

    private byte[] DiscardAll()
    {
        byte[] all = _buffer.ToArray();
        Discard(all.Length);
        return all;
    }

    /// <summary>Takes the turn, and says what the state was: <see cref="Idle"/> or <see cref="Waiting"/>.</summary>
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

            // Another thread is between two lines of this class: it looks at the buffer and leaves, or begins to wait.
            spin.SpinOnce();
        }
    }

    private InvalidOperationException Collision(string call) => new(
        $"{call} was called while {_waitingCall} is already waiting for data on this reader; await the first before the second.");
}
