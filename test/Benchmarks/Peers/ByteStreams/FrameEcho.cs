using System.Buffers;
using System.Buffers.Binary;
using ByteStreams;

namespace Benchmarks.Pair;

/// <summary>Sends back every frame, from the buffer it arrived in.</summary>
internal sealed class FrameEcho : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        try
        {
            while (true)
            {
                ReadOnlySequence<byte> header = await reader.BorrowExactlyAsync(sizeof(int), stopping);
                int length = ReadLength(header);
                writer.Write(header);
                writer.Write(await reader.BorrowExactlyAsync(length, stopping));
                await writer.DrainAsync(stopping);
            }
        }
        catch (IncompleteReadException end) when (end.Partial.Length == 0)
        {
            // The client ended between two frames, or right after a header: a header alone is no frame.
        }
    }

    private static int ReadLength(in ReadOnlySequence<byte> header)
    {
        Span<byte> bytes = stackalloc byte[sizeof(int)];
        header.CopyTo(bytes);
        return BinaryPrimitives.ReadInt32BigEndian(bytes);
    }
}
