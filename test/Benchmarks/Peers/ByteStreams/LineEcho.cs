using System.Buffers;
using ByteStreams;

namespace Benchmarks.Pair;

/// <summary>Sends back every line, from the buffer it arrived in.</summary>
internal sealed class LineEcho : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (true)
        {
            ReadOnlySequence<byte> line = await reader.BorrowLineAsync(stopping);
            if (line.IsEmpty)
            {
                return;
            }

            writer.Write(line);
            await writer.DrainAsync(stopping);
        }
    }
}
