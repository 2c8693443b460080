using System.Buffers;
using System.IO.Pipelines;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>
/// A pipe that is as unkind as a pipe may be: every chunk is its own segment, memory that was consumed is overwritten at once,
/// positions are checked, and the order of its calls too. It counts how often the bytes of a segment are looked at.
/// </summary>
internal sealed class ChunkPipeReader(PipeScheduler scheduler) : PipeReader
{
    /// <summary>What consumed memory is overwritten with; no test feeds it.</summary>
    public const byte Poison = 0xDD;

    private readonly Lock _gate = new();
    private Chunk? _first;
    private Chunk? _last;
    private long _received;
    private long _consumed;
    private long _examined;
    private bool _ended;
    private bool _canceled;
    private bool _reading;
    private TaskCompletionSource<ReadResult>? _waiter;
    private long _looks;

    /// <summary>How many times the bytes of a segment were asked for.</summary>
    public long Looks => Interlocked.Read(ref _looks);

    public void Feed(ReadOnlySpan<byte> data)
    {
        lock (_gate)
        {
            var chunk = new Chunk(this, data.ToArray(), _received);
            _last?.SetNext(chunk);
            _first ??= chunk;
            _last = chunk;
            _received += data.Length;
        }

        Wake();
    }

    public void Finish()
    {
        lock (_gate)
        {
            _ended = true;
        }

        Wake();
    }

    /// <summary>What a disposed connection does: all memory now belongs to others.</summary>
    public void TakeMemoryBack()
    {
        lock (_gate)
        {
            for (Chunk? chunk = _first; chunk is not null; chunk = chunk.NextChunk)
            {
                chunk.Overwrite();
            }
        }
    }

    public override bool TryRead(out ReadResult result)
    {
        lock (_gate)
        {
            return TryResult(out result);
        }
    }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        TaskCompletionSource<ReadResult> waiter;
        lock (_gate)
        {
            if (_reading || _waiter is not null)
            {
                throw new InvalidOperationException("ReadAsync was called before AdvanceTo, or while another waits.");
            }

            cancellationToken.ThrowIfCancellationRequested();
            if (TryResult(out ReadResult result))
            {
                return new ValueTask<ReadResult>(result);
            }

            // Inline means inline: whoever feeds runs the read's continuation.
            _waiter = waiter = new TaskCompletionSource<ReadResult>();
        }

        // Registered outside of the gate: a token that is cancelled already calls back at once.
        cancellationToken.UnsafeRegister(
            static (state, token) =>
            {
                var (self, waiter) = ((ChunkPipeReader, TaskCompletionSource<ReadResult>))state!;
                self.CancelWait(waiter, token);
            },
            (this, waiter));
        return new ValueTask<ReadResult>(waiter.Task);
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        lock (_gate)
        {
            if (_waiter is not null)
            {
                throw new InvalidOperationException("AdvanceTo was called while a read waits.");
            }

            _reading = false;
            long to = Absolute(consumed);
            long seen = Absolute(examined);
            if (to < _consumed || seen < to || seen < _examined || seen > _received)
            {
                throw new InvalidOperationException($"AdvanceTo({to}, {seen}) does not fit {_consumed}, {_examined}, {_received}.");
            }

            (_consumed, _examined) = (to, seen);
            while (_first is not null && _first.RunningIndex + _first.Memory.Length <= to)
            {
                _first.Overwrite();
                _first = _first.NextChunk;
            }

            _last = _first is null ? null : _last;
        }
    }

    public override void CancelPendingRead()
    {
        lock (_gate)
        {
            _canceled = true;
        }

        Wake();
    }

    public override void Complete(Exception? exception = null) => TakeMemoryBack();

    private long Absolute(SequencePosition position) =>
        position.GetObject() is Chunk chunk ? chunk.RunningIndex + position.GetInteger() : _consumed;

    private bool TryResult(out ReadResult result)
    {
        bool canceled = _canceled;
        if (!canceled && !_ended && _received <= _examined)
        {
            result = default;
            return false;
        }

        _canceled = false;
        _reading = !canceled;
        ReadOnlySequence<byte> buffer = _first is null
            ? default
            : new ReadOnlySequence<byte>(_first, (int)(_consumed - _first.RunningIndex), _last!, _last!.Memory.Length);
        result = new ReadResult(buffer, canceled, _ended);
        return true;
    }

    private void Wake()
    {
        TaskCompletionSource<ReadResult> waiter;
        ReadResult result;
        lock (_gate)
        {
            if (_waiter is null || !TryResult(out result))
            {
                return;
            }

            (waiter, _waiter) = (_waiter, null);
        }

        scheduler.Schedule(_ => waiter.SetResult(result), null);
    }

    private void CancelWait(TaskCompletionSource<ReadResult> waiter, CancellationToken token)
    {
        lock (_gate)
        {
            if (_waiter != waiter)
            {
                return;
            }

            _waiter = null;
        }

        scheduler.Schedule(_ => waiter.SetCanceled(token), null);
    }

    private sealed class Chunk : ReadOnlySequenceSegment<byte>
    {
        private readonly byte[] _bytes;

        public Chunk(ChunkPipeReader owner, byte[] bytes, long position)
        {
            _bytes = bytes;
            Memory = new CountedMemory(owner, bytes).Memory;
            RunningIndex = position;
        }

        public Chunk? NextChunk => (Chunk?)Next;

        public void SetNext(Chunk next) => Next = next;

        public void Overwrite() => _bytes.AsSpan().Fill(Poison);
    }

    private sealed class CountedMemory(ChunkPipeReader owner, byte[] bytes) : MemoryManager<byte>
    {
        public override Memory<byte> Memory => CreateMemory(bytes.Length);

        public override Span<byte> GetSpan()
        {
            Interlocked.Increment(ref owner._looks);
            return bytes;
        }

        public override MemoryHandle Pin(int elementIndex = 0) => throw new NotSupportedException();

        public override void Unpin() => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
        }
    }
}
