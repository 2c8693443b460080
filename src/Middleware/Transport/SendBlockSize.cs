using System.Numerics;

namespace ByteStreams.Transport;

/// <summary>
/// The size of the next block of an output's queue. The first is small, for the many connections that write little; an output that fills
/// it gets larger ones, of what is left below the high-water mark. Of a large write each block is filled but the last.
/// </summary>
internal static class SendBlockSize
{
    public const int Smallest = 4096;

    /// <summary>A larger write is divided into blocks of this size, which bounds every allocation.</summary>
    private const int Largest = 65536;

    /// <summary>The largest block for small writes below the high-water mark: little of what waits for a peer that has stopped reading is free space.</summary>
    private const int LargestBelowMark = 16384;

    /// <summary>So far above the high-water mark only a caller that does not drain writes; it gets large blocks.</summary>
    private const int FarAboveMark = 65536;

    /// <param name="tail">The last block of the queue; null if it is empty.</param>
    /// <param name="following">The bytes that are about to be written.</param>
    /// <param name="left">The bytes that are left below the high-water mark; negative above it.</param>
    public static int Choose(Segment? tail, int following, long left)
    {
        if (tail is null && following <= BufferLimit.SmallBlock && BufferLimit.Process.IsExceeded)
        {
            return BufferLimit.SmallBlock;
        }

        int most = left < -FarAboveMark ? Largest : PowerOfTwo(Math.Clamp(left, Smallest, LargestBelowMark));
        int grown = tail is null ? Smallest : Math.Min(tail.Capacity * 4, most);
        return Math.Max(grown, PowerOfTwo(Math.Clamp(following, Smallest, Largest)));
    }

    private static int PowerOfTwo(long bytes) => 1 << BitOperations.Log2((ulong)bytes);
}
