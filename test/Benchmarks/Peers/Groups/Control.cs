using System.Diagnostics;
using System.Globalization;
using ByteStreams;

namespace Benchmarks.Groups;

/// <summary>Sends each line to the group, and answers with the duration of the call in nanoseconds. Answers "memory" with the managed bytes.</summary>
internal sealed class Control(ByteStreamConnections connections) : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        ByteStreamTarget group = connections.Group(Receiver.Group);
        while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
        {
            long result;
            if (line.AsSpan().SequenceEqual("memory\n"u8))
            {
                result = await Memory.CollectAsync(stopping);
            }
            else
            {
                long begun = Stopwatch.GetTimestamp();
                await group.SendAsync(line, stopping);
                result = (long)Stopwatch.GetElapsedTime(begun).TotalNanoseconds;
            }

            writer.Write(string.Create(CultureInfo.InvariantCulture, $"{result}\n"));
            await writer.DrainAsync(stopping);
        }
    }
}
