using System.Buffers;

namespace ByteStreams.Transport;

/// <summary>
/// The buffered bytes of one direction, in pooled blocks: written and committed at the tail, read and taken at the head. Guarded by the lock
/// of the pipe that it is a field of; the counts can be read without it.
/// </summary>
internal struct SegmentQueue
{
    private Segment? _first;
    private Segment? _last;
    private int _start;
    private long _committed;
    private long _taken;

    /// <summary>Bytes that were ever committed.</summary>
    public readonly long Committed => Volatile.Read(in _committed);

    /// <summary>Bytes that were ever taken.</summary>
    public readonly long Taken => Volatile.Read(in _taken);

    /// <summary>Bytes that were committed and not taken.</summary>
    public readonly long Count
    {
        get
        {
            while (true)
            {
                // Both of one moment, also for a thread without the lock.
                long taken = Volatile.Read(in _taken);
                long committed = Volatile.Read(in _committed);
                if (taken == Volatile.Read(in _taken))
                {
                    return Math.Max(0, committed - taken);
                }
            }
        }
    }

    /// <summary>Whether no block is held.</summary>
    public readonly bool IsEmpty => _first is null;

    /// <summary>The last block; null if none is held.</summary>
    public readonly Segment? Tail => _last;

    /// <summary>The free space of the last block.</summary>
    public readonly Memory<byte> Free => _last is null ? default : _last.Free;

    /// <summary>The unread bytes of the first block.</summary>
    public readonly ReadOnlySpan<byte> FirstSpan => _first is null ? default : _first.Memory.Span[_start..];

    /// <summary>All bytes, where everything that was written is committed. Empty without a position: the block may be gone before a reader advances.</summary>
    public readonly ReadOnlySequence<byte> All =>
        _committed == _taken ? default : new ReadOnlySequence<byte>(_first!, _start, _last!, _last!.End);

    /// <summary>The committed bytes, without those that were written after them.</summary>
    public readonly ReadOnlySequence<byte> Peek()
    {
        Segment end = _first!;
        long left = _committed - _taken;
        int from = _start;
        while (left > end.End - from)
        {
            left -= end.End - from;
            from = 0;
            end = end.NextSegment!;
        }

        return new ReadOnlySequence<byte>(_first!, _start, end, from + (int)left);
    }

    /// <summary>Adds a block of at least <paramref name="size"/> bytes to the tail.</summary>
    public void Grow(int size)
    {
        Segment segment = Segment.Take();
        _last?.Publish();
        segment.Rent(size, _last);
        if (_last is null)
        {
            segment.Rebase(_committed);
            _first = segment;
            _start = 0;
        }

        _last = segment;
    }

    /// <summary>Counts bytes that were written to <see cref="Free"/>.</summary>
    public readonly void Advance(int count) => _last!.Advance(count);

    /// <summary>Makes so many written bytes readable.</summary>
    public void Commit(long count)
    {
        _last?.Publish();
        Volatile.Write(ref _committed, _committed + count);
    }

    /// <summary>Takes committed bytes from the head. The last block stays, also when it is empty: see <see cref="ReleaseEmpty"/>.</summary>
    public void Take(int count)
    {
        Volatile.Write(ref _taken, _taken + count);
        while (true)
        {
            int available = _first!.End - _start;
            if (count < available || _first == _last)
            {
                _start += count;
                return;
            }

            count -= available;
            ReturnFirst();
        }
    }

    /// <summary>Takes the bytes before a position.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The bytes were taken before, or are not committed.</exception>
    public void TakeTo(SequencePosition consumed)
    {
        if (consumed.GetObject() is not Segment segment)
        {
            return;
        }

        long position = segment.RunningIndex + consumed.GetInteger();
        ArgumentOutOfRangeException.ThrowIfGreaterThan(position, _committed, nameof(consumed));
        ArgumentOutOfRangeException.ThrowIfLessThan(position, _taken, nameof(consumed));
        while (_first != segment)
        {
            ReturnFirst();
        }

        _start = consumed.GetInteger();
        Volatile.Write(ref _taken, position);
    }

    /// <summary>Counts bytes that went past the queue, which has none to take before them.</summary>
    public void CountPassing(int count)
    {
        // In this order: the count of a queue that is empty stays zero for a thread without the lock.
        Volatile.Write(ref _taken, _taken + count);
        Volatile.Write(ref _committed, _committed + count);
    }

    /// <summary>Drops the committed bytes without counting them as taken. The blocks stay, see <see cref="Release"/>.</summary>
    public void Drop() => Volatile.Write(ref _committed, _taken);

    /// <summary>Takes all committed bytes, and returns all blocks to the pool.</summary>
    /// <param name="exceptLast">Whether something is still being written to the last block.</param>
    public void TakeAll(bool exceptLast)
    {
        Release(exceptLast);
        if (_first is not null)
        {
            _start = _first.End;
        }

        Volatile.Write(ref _taken, _committed);
    }

    /// <summary>Returns all blocks to the pool.</summary>
    /// <param name="exceptLast">Whether something is still being written to the last block.</param>
    public void Release(bool exceptLast)
    {
        while (_first is not null && !(exceptLast && _first == _last))
        {
            ReturnFirst();
        }
    }

    /// <summary>Returns the only block to the pool if it has no bytes left.</summary>
    public void ReleaseEmpty()
    {
        if (_first is not null && _first == _last && _start == _first.End)
        {
            ReturnFirst();
        }
    }

    /// <summary>Returns the last block to the pool if nothing was written to it.</summary>
    public void ReleaseUnused()
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

        before.RemoveNext();
        _last = before;
        unused.Return();
    }

    private void ReturnFirst()
    {
        Segment first = _first!;
        _first = first.NextSegment;
        _start = 0;
        if (_first is null)
        {
            _last = null;
        }

        first.Return();
    }
}
