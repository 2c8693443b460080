using System.Buffers;

namespace ByteStreams.Transport;

/// <summary>
/// The queue of an output: bytes are written, committed by a flush, and taken as they are sent. Guarded by the lock of its
/// <see cref="TransportPipeWriter"/>; the counts can be read without it.
/// </summary>
internal struct OutputBuffer
{
    private SegmentQueue _queue;
    private long _uncommitted;
    private bool _isLeased;

    /// <summary>Bytes that were sent, from the queue or past it.</summary>
    public readonly long Sent => _queue.Taken;

    /// <summary>Bytes that were committed and not sent.</summary>
    public readonly long Queued => _queue.Count;

    /// <summary>Bytes that were written and not committed.</summary>
    public readonly long Uncommitted => Volatile.Read(in _uncommitted);

    /// <summary>Lends free space to a caller, until <see cref="Advance"/> or the next write.</summary>
    /// <param name="sizeHint">The bytes that are needed in one piece.</param>
    /// <param name="highWater">The high-water mark.</param>
    public Memory<byte> Lease(int sizeHint, int highWater)
    {
        _isLeased = true;
        return GetFree(sizeHint, sizeHint, highWater);
    }

    /// <summary>Counts bytes that were written to leased space.</summary>
    public void Advance(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, _queue.Free.Length);
        _isLeased = false;
        if (bytes > 0)
        {
            _queue.Advance(bytes);
            _uncommitted += bytes;
        }
    }

    /// <summary>Copies bytes. A write gives up leased space.</summary>
    public void Append(ReadOnlySpan<byte> data, int highWater)
    {
        _isLeased = false;
        while (!data.IsEmpty)
        {
            // One block for a small write, so that it is one piece of the send; several for a large one.
            Span<byte> free = GetFree(Math.Min(data.Length, SendBlockSize.Smallest), data.Length, highWater).Span;
            int count = Math.Min(free.Length, data.Length);
            data[..count].CopyTo(free);
            _queue.Advance(count);
            _uncommitted += count;
            data = data[count..];
        }
    }

    /// <summary>Makes everything that was written ready to be sent.</summary>
    public void Commit()
    {
        _queue.Commit(_uncommitted);
        _uncommitted = 0;
    }

    /// <summary>The committed bytes; there are some.</summary>
    public readonly ReadOnlySequence<byte> Peek() => _queue.Peek();

    /// <summary>Takes committed bytes that were sent.</summary>
    public void Take(int count)
    {
        _queue.Take(count);
        if (!_isLeased)
        {
            _queue.ReleaseEmpty();
        }
    }

    /// <summary>Counts bytes that were sent from the caller's memory, when nothing is committed.</summary>
    public void CountPassing(int count) => _queue.CountPassing(count);

    /// <summary>Drops the bytes that are not sent. The blocks stay, see <see cref="Release"/>.</summary>
    public void Drop()
    {
        _queue.Drop();
        _uncommitted = 0;
    }

    /// <summary>Returns the blocks to the pool. Leased space is left to the collector.</summary>
    public void Release() => _queue.Release(exceptLast: _isLeased);

    private Memory<byte> GetFree(int least, int following, int highWater)
    {
        if (_queue.Free.Length < Math.Max(1, least))
        {
            long left = highWater - _queue.Count - _uncommitted;
            _queue.Grow(Math.Max(SendBlockSize.Choose(_queue.Tail, following, left), least));
        }

        return _queue.Free;
    }
}
