using System.Buffers.Binary;
using ByteStreams;

namespace Benchmarks.Pair;

/// <summary>Sends back every frame, read into arrays of its own.</summary>
internal sealed class OwnedFrameEcho : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        try
        {
            while (true)
            {
                byte[] header = await reader.ReadExactlyAsync(sizeof(int), stopping);
                writer.Write(header);
                writer.Write(await reader.ReadExactlyAsync(BinaryPrimitives.ReadInt32BigEndian(header), stopping));
                await writer.DrainAsync(stopping);
            }
        }
        catch (IncompleteReadException end) when (end.Partial.Length == 0)
        {
            // The client ended between two frames, or right after a header: a header alone is no frame.
        }
    }
}
