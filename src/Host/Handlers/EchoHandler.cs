using System.Buffers;
using ByteStreams;

namespace StreamsHost.Handlers;

/// <summary>Sends every line back (RFC 862, line by line). A line over the limit is answered with an error, and the next goes on.</summary>
internal sealed class EchoHandler : ByteStreamHandler
{
    /// <summary>
    /// How long lines that were sent before their client could know of the stop may be on their way. They are answered, and the end
    /// leaves with the last answer, before a client that waits for it sends another line.
    /// </summary>
    private static readonly TimeSpan LastCall = TimeSpan.FromMilliseconds(100);

    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        CancellationTokenSource? last = null;
        try
        {
            while (true)
            {
                try
                {
                    ReadOnlySequence<byte> line = await reader.BorrowLineAsync(last?.Token ?? stopping);
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
                catch (OperationCanceledException) when (last is null)
                {
                    last = new CancellationTokenSource(LastCall);
                    continue;
                }

                if (last is not null && !reader.HasBuffered)
                {
                    return;
                }

                await writer.DrainAsync(last?.Token ?? stopping);
            }
        }
        finally
        {
            last?.Dispose();
        }
    }
}
