using System.Buffers;
using ByteStreams;

namespace Benchmarks.Pair;

/// <summary>Sends back every line, from the buffer it arrived in, and awaits once for all lines that are buffered.</summary>
internal sealed class BatchLineEcho : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (await reader.WaitToReadAsync(stopping))
        {
            while (reader.TryReadLine(out ReadOnlySequence<byte> line))
            {
                writer.Write(line);
            }

            await writer.DrainAsync(stopping);
        }
    }
}
