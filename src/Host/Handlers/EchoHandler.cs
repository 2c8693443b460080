using System.Buffers;
using ByteStreams;

namespace StreamsHost.Handlers;

/// <summary>Sends every line back (RFC 862, line by line). A line over the limit gets an error as response.</summary>
internal sealed class EchoHandler : ByteStreamHandler
{
    /// <summary>
    /// How long lines that clients sent before they could know of the stop may arrive. They are echoed, and the FIN leaves with the last echo,
    /// before a client that waits for it sends another line.
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
