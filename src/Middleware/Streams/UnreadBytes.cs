using System.Buffers;
using System.Runtime.CompilerServices;

namespace ByteStreams;

/// <summary>
/// The bytes that a reader holds and has not returned yet. Nearly always they are in one block, where a search for a newline and a slice
/// take a few instructions, which a <see cref="ReadOnlySequence{T}"/> does not.
/// </summary>
internal struct UnreadBytes
{
    // [_from, _to) of one block; if null, the bytes are in _blocks.
    private ReadOnlySequenceSegment<byte>? _block;
    private int _from;
    private int _to;

    // Made when bytes first lie in several blocks, and used again from then on: a sequence is 24 bytes, which few idle connections need.
    private Blocks? _blocks;

    public readonly long Length
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _block is not null ? _to - _from : Several.Length;
    }

    public readonly bool IsEmpty => Length == 0;

    public readonly SequencePosition Start => _block is not null ? new SequencePosition(_block, _from) : Several.Start;

    public readonly SequencePosition End => _block is not null ? new SequencePosition(_block, _to) : Several.End;

    public readonly ReadOnlySequence<byte> Sequence =>
        _block is not null ? new ReadOnlySequence<byte>(_block, _from, _block, _to) : Several;

    private readonly ReadOnlySequence<byte> Several => _blocks is null ? default : _blocks.Sequence;

    /// <summary>The first occurrence of a byte at or after <paramref name="from"/>, or -1.</summary>
    public readonly long IndexOf(byte value, long from)
    {
        if (_block is null)
        {
            return Separators.IndexOf(Several, value, from);
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

        ReadOnlySequence<byte> several = Several;
        SequencePosition end = several.GetPosition(length);
        Set(several.Slice(end));
        return several.Slice(several.Start, end);
    }

    /// <summary>Holds no bytes, and no block.</summary>
    public void Clear() => Set(default);

    /// <summary>Holds these bytes in place of others.</summary>
    public void Set(in ReadOnlySequence<byte> sequence)
    {
        SequencePosition start = sequence.Start;
        SequencePosition end = sequence.End;
        if (start.GetObject() is ReadOnlySequenceSegment<byte> block && ReferenceEquals(block, end.GetObject()))
        {
            _block = block;
            _from = start.GetInteger();
            _to = end.GetInteger();
            _blocks?.Sequence = default;
            return;
        }

        _block = null;
        if (start.GetObject() is not null)
        {
            _blocks ??= new Blocks();
        }

        _blocks?.Sequence = sequence;
    }

    private sealed class Blocks
    {
        public ReadOnlySequence<byte> Sequence;
    }
}
