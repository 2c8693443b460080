namespace Company.Service_1;

/// <summary>Sends every line back. Each connection has its own instance, in its own dependency-injection scope.</summary>
public sealed class EchoHandler(ILogger<EchoHandler> logger) : ByteStreamHandler
{
    /// <summary>Serves one connection. When it returns, everything written is delivered and the connection is closed.</summary>
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        int lines = 0;
        await foreach (byte[] line in reader.WithCancellation(stopping))
        {
            writer.Write(line);
            await writer.DrainAsync(stopping);
            lines++;
        }

        logger.LogInformation("{Client} sent {Lines} lines", writer.RemoteEndPoint, lines);
    }
}
