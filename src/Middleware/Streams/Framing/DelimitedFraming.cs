using System.Buffers;

namespace ByteStreams.Streams;

/// <summary><see cref="Framing.Delimited"/>.</summary>
internal sealed class DelimitedFraming : Framing
{
    private readonly ReadOnlyMemory<byte>[] _delimiter;

    public DelimitedFraming(ReadOnlySpan<byte> delimiter, int maxLength)
        : base(maxLength)
    {
        if (delimiter.IsEmpty)
        {
            throw new ArgumentException("A delimiter has at least one byte.", nameof(delimiter));
        }

        _delimiter = [delimiter.ToArray()];
    }

    internal override ReadOnlySpan<byte> Tail => _delimiter[0].Span;

    internal override FrameBounds Measure(in ReadOnlySequence<byte> buffer, ref long searched, ByteStreamReader reader)
    {
        if (TryFind(buffer, searched, out long start))
        {
            return start <= MaxLength
                ? new FrameBounds(start + Tail.Length, 0, (int)start)
                : throw TooLong(reader, buffer, $"A frame of {start} bytes");
        }

        // No delimiter can begin before it.
        long cleared = Math.Max(0, buffer.Length + 1 - Tail.Length);
        if (cleared > MaxLength)
        {
            throw TooLong(reader, buffer, $"A frame of at least {cleared} bytes");
        }

        searched = cleared;
        return default;
    }

    internal override FrameHead WriteHead(long length, Span<byte> head) => default;

    internal override void CheckContent(ReadOnlySpan<byte> content)
    {
        if (content.IndexOf(Tail) >= 0 || EndsWithin(content[Math.Max(0, content.Length + 1 - Tail.Length)..]))
        {
            throw Contained();
        }
    }

    internal override void CheckContent(in ReadOnlySequence<byte> content)
    {
        if (TryFind(content, 0, out _) || EndsWithin(content.Slice(Math.Max(0, content.Length + 1 - Tail.Length)).ToArray()))
        {
            throw Contained();
        }
    }

    private static ArgumentException Contained() => Unfit(
        "The frame contains the delimiter: the peer would read more than one frame. Encode the content, or use a framing with a length.");

    private bool TryFind(in ReadOnlySequence<byte> buffer, long from, out long start)
    {
        if (buffer.IsSingleSegment)
        {
            int found = buffer.FirstSpan[(int)from..].IndexOf(Tail);
            start = from + found;
            return found >= 0;
        }

        return Separators.TryFind(buffer, from, _delimiter, out start, out _);
    }

    /// <summary>Whether the last bytes of the content and the delimiter after them contain the delimiter earlier: "a" before "aa".</summary>
    private bool EndsWithin(ReadOnlySpan<byte> end)
    {
        for (int i = 0; i < end.Length; i++)
        {
            int shared = end.Length - i;
            if (end[i..].SequenceEqual(Tail[..shared]) && Tail[shared..].SequenceEqual(Tail[..^shared]))
            {
                return true;
            }
        }

        return false;
    }
}
