using System.Buffers;

namespace ByteStreams.Streams;

/// <summary><see cref="Framing.Fixed"/>.</summary>
internal sealed class FixedFraming(int length) : Framing(length)
{
    internal override FrameBounds Measure(in ReadOnlySequence<byte> buffer, ref long searched, ByteStreamReader reader) =>
        new(MaxLength, 0, MaxLength);

    internal override FrameHead WriteHead(long length, Span<byte> head) => length == MaxLength
        ? default
        : throw Unfit($"A frame of {length} bytes was written; this framing has frames of {MaxLength} bytes.");
}
