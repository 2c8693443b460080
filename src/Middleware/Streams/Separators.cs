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
        return buffer.IsSingleSegment ? buffer.FirstSpan.IndexOf(separator) : IndexOfAcrossSegments(buffer, separator);
    }

    /// <summary>
    /// <see cref="SequenceReader{T}"/> would look at each first byte of the separator by itself: 100 ns for each byte of a peer that sends
    /// nothing else. Here the spans are searched, and where two meet, the bytes on both sides.
    /// </summary>
    private static long IndexOfAcrossSegments(in ReadOnlySequence<byte> buffer, ReadOnlySpan<byte> separator)
    {
        int most = separator.Length - 1;
        byte[]? rented = null;
        Span<byte> seam = 2 * most <= 256 ? stackalloc byte[256] : rented = ArrayPool<byte>.Shared.Rent(2 * most);
        try
        {
            int carried = 0;
            long offset = 0;
            foreach (ReadOnlyMemory<byte> segment in buffer)
            {
                ReadOnlySpan<byte> bytes = segment.Span;
                ReadOnlySpan<byte> head = bytes[..Math.Min(most, bytes.Length)];
                head.CopyTo(seam[carried..]);
                int joined = carried + head.Length;
                int found = seam[..joined].IndexOf(separator);
                if (found >= 0)
                {
                    return offset - carried + found;
                }

                found = bytes.IndexOf(separator);
                if (found >= 0)
                {
                    return offset + found;
                }

                // The last bytes so far, in which a separator may begin.
                ReadOnlySpan<byte> last = bytes.Length >= most ? bytes[^most..] : seam[Math.Max(0, joined - most)..joined];
                last.CopyTo(seam);
                carried = last.Length;
                offset += bytes.Length;
            }

            return -1;
        }
        finally
        {
            if (rented is not null)
            {
                ArrayPool<byte>.Shared.Return(rented);
            }
        }
    }
}
