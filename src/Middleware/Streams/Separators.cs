using System.Buffers;
using System.Runtime.CompilerServices;

namespace ByteStreams;

/// <summary>Finds separators in buffered bytes, across segments, with the vectorised search of spans.</summary>
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
    /// Finds the match that ends first, at or after <paramref name="from"/>; of two that end together, the shortest. The separators are
    /// sorted by length for that (R12).
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
            // A better match ends earlier: bytes from this end on need no search.
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
    /// Searches each span, and the bytes on both sides where two spans meet. <see cref="SequenceReader{T}"/> compares at each occurrence of the
    /// separator's first byte: 100 ns a byte for a peer that sends only that byte.
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

                // A separator may begin in the last bytes.
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
