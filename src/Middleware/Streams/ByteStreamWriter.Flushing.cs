using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using ByteStreams.Streams;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <content>When bytes are sent, and what follows from a failure.</content>
public sealed partial class ByteStreamWriter
{
    /// <summary>Warns when the writer is collected without having been closed (W12).</summary>
    internal void Guard(AbandonedGuard guard) => _guard = guard;

    /// <summary>Sends what was written: the reader of the same connection is about to wait for the answer.</summary>
    internal void FlushBeforeWait()
    {
        if (Volatile.Read(ref _unflushed) > 0)
        {
            using (_gate.Enter())
            {
                Flush();
            }
        }
    }

    /// <summary>Writes and sends a message of <see cref="ByteStreamConnections"/>, between two writes of the handler. Never blocks.</summary>
    internal DeliveryResult Deliver(ReadOnlySpan<byte> message)
    {
        using (_gate.Enter())
        {
            if (_closing || _eof || _upgrading || _lost is not null || IsLinkEnded)
            {
                return DeliveryResult.Refused;
            }

            _leased = false;
            if (_direct is not null && !IsFlushing)
            {
                WriteThrough(message);
                return _direct.Queued > _direct.Limits.High ? DeliveryResult.Blocked : DeliveryResult.Written;
            }

            Append(message);
            Flush();
            return IsFlushing ? DeliveryResult.Blocked : DeliveryResult.Written;
        }
    }

    /// <summary>The handler awaits something else: what it wrote is sent now (W1).</summary>
    void IDispatchWork.OnDispatchEnd()
    {
        // A write on another thread that comes too late to be sent here finds this, and belongs to a dispatch of its own.
        _schedule.LeaveDispatch();
        FlushBeforeWait();
    }

    /// <summary>A thread-pool thread is free: what a handler wrote on a thread that is not a loop's is sent now (W1).</summary>
    void IThreadPoolWorkItem.Execute()
    {
        using (_gate.Enter())
        {
            _schedule.Leave();
            Flush();
        }
    }

    /// <summary>One tick of <see cref="DeferredFlush"/>.</summary>
    /// <returns>Whether the writer stays enrolled.</returns>
    internal bool OnDeferredFlush()
    {
        using (_gate.Enter())
        {
            // A pending flush sends the rest itself when it completes.
            bool hasWork = _unflushed > 0 && !IsFlushing && !_closing && _lost is null;
            if (_schedule.OnTick(hasWork))
            {
                Flush();
            }

            return hasWork;
        }
    }

    internal void Abort(ConnectionCloseReason reason, Exception? cause)
    {
        using (_gate.Enter())
        {
            _closing = true;
            _unflushed = 0;
            _pending?.Fail(ClosedHere());
            if (_connection is null)
            {
                _closed?.TrySetResult();
            }
        }

        _guard?.Dispose();
        _reader?.Close();
        if (_link is not null)
        {
            _link.Abort(reason, cause);
        }
        else if (_connection is not null)
        {
            _connection.Abort(new ConnectionAbortedException("The connection was aborted from this side.", cause!));
        }
        else
        {
            _output.Complete(new ConnectionAbortedException("The connection was aborted from this side.", cause!));
        }
    }

    /// <summary>
    /// Refuses writes, half-close and further upgrades from here on, and sends what was written before.
    /// </summary>
    /// <returns>Done when the handshake can use the pipe; nothing else flushes it until <see cref="EndUpgrade"/>.</returns>
    internal Task BeginUpgrade()
    {
        using (_gate.Enter())
        {
            if (_upgrading)
            {
                throw new InvalidOperationException("StartTlsAsync was called while another is at work on this connection.");
            }

            if (_closing)
            {
                throw ClosedHere();
            }

            if (_eof)
            {
                throw new InvalidOperationException("StartTlsAsync was called after WriteEof: this direction has ended.");
            }

            // Memory that was asked for and not yet written would be committed to the plain pipe by a later Advance.
            _leased = false;
            _recheck |= IsLinkEnded;
            Flush();
            if (_lost is not null)
            {
                throw _lost;
            }

            _upgrading = true;
            return _pending is { IsUnderWay: true } ? _pending.Drained : Task.CompletedTask;
        }
    }

    /// <summary>Continues over <paramref name="output"/>, or over the plain pipe where the upgrade has failed (null).</summary>
    internal void EndUpgrade(PipeWriter? output)
    {
        using (_gate.Enter())
        {
            _output = output ?? _output;
            _direct = _output as TransportPipeWriter;
            _link = _connection?.Features.Get<IByteStreamTransportFeature>();
            _upgrading = false;
            if (_closing && output is not null)
            {
                output.Complete();
            }
        }
    }

    private bool CanWrite()
    {
        if (_upgrading)
        {
            throw new InvalidOperationException("Write was called while StartTlsAsync is at work; await it first.");
        }

        if (_eof)
        {
            throw new InvalidOperationException("Write was called after WriteEof: this direction has ended.");
        }

        if (!_closing && _lost is null && !IsLinkEnded)
        {
            // A write gives up memory that was asked for before and not used.
            _leased = false;
            return true;
        }

        if (!_warned)
        {
            _warned = true;
            StreamsLog.DroppedWrite(_logger, _connection?.ConnectionId);
        }

        return false;
    }

    private void Append(ReadOnlySpan<byte> data)
    {
        if (_direct is not null)
        {
            if (data.Length >= LargeWrite && !IsFlushing)
            {
                WriteThrough(data);
            }
            else
            {
                _unflushed += data.Length;
                _direct.Append(data);
            }

            return;
        }

        _unflushed += data.Length;
        while (!data.IsEmpty)
        {
            // One block for a small write, so that it is one piece of the send; the transport's own size for a large one.
            Span<byte> free = _output.GetSpan(Math.Min(data.Length, 4096));
            int count = Math.Min(free.Length, data.Length);
            data[..count].CopyTo(free);
            _output.Advance(count);
            data = data[count..];
        }
    }

    /// <summary>Sends what was written before and these bytes at once, from the caller's memory; only what the kernel does not accept is copied.</summary>
    private void WriteThrough(ReadOnlySpan<byte> data)
    {
        _unflushed = 0;
        _schedule.Restart();
        // Where some of it was queued, a drain checks whether that is above the mark.
        _recheck |= !_direct!.WriteThrough(data);
    }

    private void Wrote()
    {
        if (_unflushed >= FlushAt)
        {
            Flush();
        }

        if (_unflushed > 0)
        {
            _schedule.Enroll(this, _reader is { IsWaiting: true });
        }
    }

    /// <summary>Flushes what was written to the transport; during a pending flush, when that completes.</summary>
    private void Flush()
    {
        while (!IsFlushing && !_leased && (_unflushed > 0 || _recheck) && _lost is null && !_closing && !_eof)
        {
            _recheck = false;
            _unflushed = 0;
            _schedule.Restart();
            try
            {
                // Not awaited and never cancelled: any number of drains may wait for one flush.
                ConfiguredValueTaskAwaitable<FlushResult>.ConfiguredValueTaskAwaiter flush = _output.FlushAsync().ConfigureAwait(false).GetAwaiter();
                if (!flush.IsCompleted)
                {
                    (_pending ??= new PendingFlush(OnFlushed)).Begin(flush);
                    return;
                }

                Flushed(flush.GetResult());
            }
            catch (Exception error)
            {
                Lose(error);
            }
        }
    }

    private void OnFlushed()
    {
        using (_gate.Enter())
        {
            try
            {
                Flushed(_pending!.End());
            }
            catch (Exception error)
            {
                Lose(error);
            }

            // What was written meanwhile; if it goes above the mark, the drains wait for it too.
            Flush();
            if (_lost is not null)
            {
                _pending!.Fail(_lost);
            }
            else if (!IsFlushing)
            {
                _pending!.Release();
            }
        }
    }

    private static ConnectionResetException ClosedHere() => new("The connection was closed from this side.");

    private void Flushed(in FlushResult result)
    {
        if (result.IsCompleted && !_closing)
        {
            Lose(IOutputFailure.Of(_output));
        }
    }

    private void Lose(Exception error)
    {
        _unflushed = 0;
        if (_closing)
        {
            return;
        }

        _lost ??= error as ConnectionResetException ?? new ConnectionResetException("The connection was lost.", error);
        if (_connection is null && _closed?.TrySetException(_lost) == true)
        {
            _ = _closed.Task.Exception;
        }
    }
}
