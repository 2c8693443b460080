using System.Buffers;
using ByteStreams;

namespace Benchmarks.Pair;

/// <summary>Sends back every line after its thread was blocked for 100 ms, as a handler does that calls something synchronous.</summary>
internal sealed class BlockingEcho : ByteStreamHandler
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

            Thread.Sleep(100);
            writer.Write(line);
            await writer.DrainAsync(stopping);
        }
    }
}
