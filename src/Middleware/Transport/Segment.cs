using System.Buffers;

namespace ByteStreams.Transport;

/// <summary>A pooled block in a connection's queue of bytes.</summary>
internal sealed class Segment : ReadOnlySequenceSegment<byte>
{
    private byte[] _block = [];

    /// <summary>Bytes written so far; the block's own are <c>[0, End)</c>.</summary>
    public int End { get; private set; }

    /// <summary>The bytes that are still free.</summary>
    public Memory<byte> Free => _block.AsMemory(End);

    public int Capacity => _block.Length;

    public Segment? NextSegment => (Segment?)Next;

    public void Rent(int size, Segment? previous)
    {
        _block = ArrayPool<byte>.Shared.Rent(size);
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

    /// <summary>Makes what was written visible to sequences over this block.</summary>
    public void Publish() => Memory = _block.AsMemory(0, End);

    public void Return()
    {
        ArrayPool<byte>.Shared.Return(_block);
        _block = [];
        Memory = default;
        Next = null;
    }
}
