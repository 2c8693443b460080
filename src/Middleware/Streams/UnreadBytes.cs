using System.Buffers;
using System.Runtime.CompilerServices;

namespace ByteStreams;

/// <summary>
/// The bytes that a reader holds and has not returned yet. Nearly always they are in one block, where a search for a newline and a slice
/// take a few instructions, which a <see cref="ReadOnlySequence{T}"/> does not.
/// </summary>
internal struct UnreadBytes
{
    // [_from, _to) of one block; if null, the bytes are in _sequence.
    private ReadOnlySequenceSegment<byte>? _block;
    private int _from;
    private int _to;
    private ReadOnlySequence<byte> _sequence;

    public UnreadBytes(in ReadOnlySequence<byte> sequence)
    {
        _sequence = default;
        _block = null;
        Set(sequence);
    }

    public readonly long Length
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _block is not null ? _to - _from : _sequence.Length;
    }

    public readonly bool IsEmpty => Length == 0;

    public readonly SequencePosition Start => _block is not null ? new SequencePosition(_block, _from) : _sequence.Start;

    public readonly SequencePosition End => _block is not null ? new SequencePosition(_block, _to) : _sequence.End;

    public readonly ReadOnlySequence<byte> Sequence =>
        _block is not null ? new ReadOnlySequence<byte>(_block, _from, _block, _to) : _sequence;

    /// <summary>The first occurrence of a byte at or after <paramref name="from"/>, or -1.</summary>
    public readonly long IndexOf(byte value, long from)
    {
        if (_block is null)
        {
            return Separators.IndexOf(_sequence, value, from);
        }

        int found = _block.Memory.Span[(_from + (int)from).._to].IndexOf(value);
        return found < 0 ? -1 : from + found;
    }

    /// <summary>Removes the first bytes and returns them.</summary>
    public ReadOnlySequence<byte> Cut(long length)
    {
        if (_block is not null)
        {
            int from = _from;
            _from += (int)length;
            return new ReadOnlySequence<byte>(_block, from, _block, _from);
        }

        SequencePosition end = _sequence.GetPosition(length);
        ReadOnlySequence<byte> cut = _sequence.Slice(_sequence.Start, end);
        Set(_sequence.Slice(end));
        return cut;
    }

    private void Set(in ReadOnlySequence<byte> sequence)
    {
        SequencePosition start = sequence.Start;
        SequencePosition end = sequence.End;
        if (start.GetObject() is ReadOnlySequenceSegment<byte> block && ReferenceEquals(block, end.GetObject()))
        {
            _block = block;
            _from = start.GetInteger();
            _to = end.GetInteger();
            _sequence = default;
        }
        else
        {
            _sequence = sequence;
        }
    }
}
