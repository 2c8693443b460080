using System.Buffers;
using System.Diagnostics.CodeAnalysis;

namespace ByteStreams.Transport;

/// <summary>A pooled block in a connection's queue of bytes.</summary>
internal sealed class Segment : ReadOnlySequenceSegment<byte>
{
    /// <summary>
    /// The unused segments that a thread keeps. A handler takes one or two at a time and returns them before the next handler of
    /// its loop runs, so that a few are enough; kept by a connection, each would cost it 64 bytes while it is idle.
    /// </summary>
    private const int MostSpares = 64;

    [ThreadStatic]
    private static Segment? _spares;

    [ThreadStatic]
    private static int _spareCount;

    private byte[] _block = [];

    /// <summary>Of a connection that was abandoned with its blocks. They may be in use: the collector takes them, not the pool.</summary>
    ~Segment() => BufferedBytes.Add(-_block.Length);

    /// <summary>The bytes written so far, which are <c>[0, End)</c> of the block.</summary>
    public int End { get; private set; }

    /// <summary>The bytes that are still free.</summary>
    public Memory<byte> Free => _block.AsMemory(End);

    public int Capacity => _block.Length;

    public Segment? NextSegment => (Segment?)Next;

    /// <summary>Returns a segment without a block; <see cref="Rent"/> adds that.</summary>
    public static Segment Take()
    {
        if (_spares is not Segment spare)
        {
            return new Segment();
        }

        _spares = spare.NextSegment;
        _spareCount--;
        spare.Next = null;
        return spare;
    }

    /// <summary>Rents the block, and appends the segment to another.</summary>
    /// <param name="size">The least size of the block.</param>
    /// <param name="previous">The last segment of the queue; null if it is empty.</param>
    public void Rent(int size, Segment? previous)
    {
        _block = ArrayPool<byte>.Shared.Rent(size);
        BufferedBytes.Add(_block.Length);
        End = 0;
        Memory = default;
        Next = null;
        RunningIndex = previous is null ? 0 : previous.RunningIndex + previous.End;
        if (previous is not null)
        {
            previous.Next = this;
        }
    }

    /// <summary>Sets where the block begins in the connection's stream of bytes.</summary>
    public void Rebase(long runningIndex) => RunningIndex = runningIndex;

    public void Advance(int count) => End += count;

    /// <summary>Removes the segment after this one, the last, from the queue.</summary>
    public void RemoveNext() => Next = null;

    /// <summary>Makes what was written visible to sequences over this block.</summary>
    public void Publish() => Memory = _block.AsMemory(0, End);

    /// <summary>Returns the block and the segment to their pools. A position in it is valid only until the next <see cref="Take"/>.</summary>
    [SuppressMessage("Usage", "CA1816", Justification = "Not a Dispose: a segment that is not kept holds no block to count.")]
    public void Return()
    {
        BufferedBytes.Add(-_block.Length);
        ArrayPool<byte>.Shared.Return(_block);
        _block = [];
        Memory = default;
        Next = null;
        if (_spareCount < MostSpares)
        {
            Next = _spares;
            _spares = this;
            _spareCount++;
        }
        else
        {
            GC.SuppressFinalize(this);
        }
    }
}
