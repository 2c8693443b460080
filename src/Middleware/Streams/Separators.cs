using System.Buffers;
using System.Runtime.CompilerServices;

namespace ByteStreams;

/// <summary>Finds separators in buffered bytes, across segments. The spans' own vectorised search does the work.</summary>
internal static class Separators
{
    /// <summary>The first occurrence of one byte at or after <paramref name="from"/>, or -1.</summary>
    public static long IndexOf(in ReadOnlySequence<byte> buffer, byte value, long from)
    {
        if (buffer.IsSingleSegment)
        {
            int found = buffer.FirstSpan[(int)from..].IndexOf(value);
            return found < 0 ? -1 : from + found;
        }

        long offset = from;
        foreach (ReadOnlyMemory<byte> segment in buffer.Slice(from))
        {
            int found = segment.Span.IndexOf(value);
            if (found >= 0)
            {
                return offset + found;
            }

            offset += segment.Length;
        }

        return -1;
    }

    /// <summary>
    /// The match that ends first among all separators, at or after <paramref name="from"/>; a tie goes to the shortest, which
    /// is why the separators come sorted by length (R12).
    /// </summary>
    public static bool TryFind(
        in ReadOnlySequence<byte> buffer, long from, ReadOnlySpan<ReadOnlyMemory<byte>> sortedByLength, out long start, out long end)
    {
        start = -1;
        end = long.MaxValue;
        ReadOnlySequence<byte> tail = buffer.Slice(from);
        foreach (ReadOnlyMemory<byte> separator in sortedByLength)
        {
            long found = IndexOf(tail, separator.Span);
            if (found < 0 || from + found + separator.Length >= end)
            {
                continue;
            }

            start = from + found;
            end = start + separator.Length;
            // Whatever else matches must end earlier to win, so nothing at or behind this end needs a look.
            tail = tail.Slice(0, end - 1 - from);
        }

        return start >= 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long IndexOf(in ReadOnlySequence<byte> buffer, ReadOnlySpan<byte> separator)
    {
        if (buffer.IsSingleSegment)
        {
            return buffer.FirstSpan.IndexOf(separator);
        }

        var reader = new SequenceReader<byte>(buffer);
        return reader.TryReadTo(out ReadOnlySequence<byte> before, separator) ? before.Length : -1;
    }
}
