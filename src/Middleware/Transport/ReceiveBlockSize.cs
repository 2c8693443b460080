using System.Numerics;

namespace ByteStreams.Transport;

/// <summary>
/// The size of the block that the next receive goes to: one page at first, four times as much after each block that was filled, and
/// smaller again after a short receive.
/// </summary>
internal struct ReceiveBlockSize
{
    /// <summary>The largest block that a reader can ask for; a longer message arrives in several.</summary>
    public const int LargestExpected = 262144;

    private const int Smallest = 4096;

    private int _next;
    private int _largest;
    private int _needed;

    public ReceiveBlockSize(int largest)
    {
        _next = Smallest;
        _largest = Math.Max(Smallest, largest);
    }

    /// <summary>Whether the last receive filled its block: the next one most likely finds bytes, without a wait.</summary>
    public bool IsMoreLikely { get; private set; }

    /// <summary>A read needs so many more bytes. Called without the lock, before that read waits.</summary>
    /// <returns>Whether <see cref="Grow"/> is needed, because the next block would be smaller.</returns>
    public bool Need(long more)
    {
        _needed = (int)Math.Min(more, LargestExpected);
        return more > _next;
    }

    /// <summary>Makes the next block as large as a read needs, and later ones if they are filled, beyond the bound of the others.</summary>
    public void Grow(long more)
    {
        _next = (int)Math.Min(more + Smallest, LargestExpected);
        _largest = Math.Max(_largest, _next);
    }

    /// <summary>A short receive has emptied the socket, and most likely the peer waits for an answer.</summary>
    public void OnReceived(int count, bool isFilled)
    {
        IsMoreLikely = isFilled;
        _next = isFilled ? Math.Min(_next * 4, _largest) : Math.Max(Smallest, Math.Min(_next, count * 4));
    }

    /// <summary>
    /// The size of the next block. Where a peer does not take its answers, no more is received at once than can still be answered. The
    /// bytes that a read needs are received in any case.
    /// </summary>
    /// <param name="answerCapacity">The bytes that may be received to be answered.</param>
    /// <param name="isSmall">Whether the process buffers more than it may.</param>
    public int Take(long answerCapacity, bool isSmall)
    {
        long most = Math.Max(answerCapacity, Math.Max(_needed, Smallest));
        _needed = 0;
        return isSmall ? BufferLimit.SmallBlock
            : most >= _next ? _next
            : 1 << BitOperations.Log2((ulong)most);
    }
}
