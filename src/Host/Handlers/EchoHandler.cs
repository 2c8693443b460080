using ByteStreams;

namespace StreamsHost.Handlers;

/// <summary>Sends every line back (RFC 862, line by line). A line over the limit is answered with an error, and the next goes on.</summary>
internal sealed class EchoHandler : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (true)
        {
            try
            {
                System.Buffers.ReadOnlySequence<byte> line = await reader.BorrowLineAsync(stopping);
                if (line.IsEmpty)
                {
                    return;
                }

                writer.Write(line);
            }
            catch (LimitOverrunException)
            {
                writer.Write($"error: a line may have {reader.Limit} bytes\n");
            }

            await writer.DrainAsync(stopping);
        }
    }
}
