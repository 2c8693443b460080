using ByteStreams;

namespace Benchmarks.Pair;

/// <summary>Sends back every line, read into an array of its own.</summary>
internal sealed class OwnedLineEcho : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
        {
            writer.Write(line);
            await writer.DrainAsync(stopping);
        }
    }
}
