using System.Buffers;
using System.Buffers.Binary;

namespace Benchmarks.Kestrel;

/// <summary>Sends back every frame: four bytes of length, big-endian, and that many bytes.</summary>
internal sealed class FrameHandler : EchoHandler
{
    protected override bool TryTake(ref ReadOnlySequence<byte> buffer, out ReadOnlySequence<byte> message)
    {
        message = default;
        if (buffer.Length < sizeof(int))
        {
            return false;
        }

        Span<byte> header = stackalloc byte[sizeof(int)];
        buffer.Slice(0, sizeof(int)).CopyTo(header);
        long size = sizeof(int) + (long)BinaryPrimitives.ReadUInt32BigEndian(header);
        if (buffer.Length < size)
        {
            return false;
        }

        message = buffer.Slice(0, size);
        buffer = buffer.Slice(size);
        return true;
    }
}
