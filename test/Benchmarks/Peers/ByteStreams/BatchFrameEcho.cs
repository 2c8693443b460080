using System.Buffers;
using System.Buffers.Binary;
using ByteStreams;

namespace Benchmarks.Pair;

/// <summary>Sends back every frame, from the buffer it arrived in, and awaits once for all frames that are buffered.</summary>
internal sealed class BatchFrameEcho : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        // The length of the frame whose header was read; -1 between two frames.
        int length = -1;
        while (await reader.WaitToReadAsync(stopping))
        {
            while (reader.TryReadExactly(length < 0 ? sizeof(int) : length, out ReadOnlySequence<byte> bytes))
            {
                writer.Write(bytes);
                length = length < 0 ? ReadLength(bytes) : -1;
            }

            await writer.DrainAsync(stopping);
        }
    }

    private static int ReadLength(in ReadOnlySequence<byte> header)
    {
        Span<byte> bytes = stackalloc byte[sizeof(int)];
        header.CopyTo(bytes);
        return BinaryPrimitives.ReadInt32BigEndian(bytes);
    }
}
