#:project ../src/Middleware/ByteStreams.csproj

// A chat with presence: the first line is the name, joins and leaves are announced, and /who lists who is there.
//
//   dotnet run samples/chat-presence.cs
//
// Serves 127.0.0.1:7085. Try it with two of: nc 127.0.0.1 7085
// Enter a name in each, then lines. A client that does not read is aborted (slow_consumer) and does not delay the others.

using System.Text;
using ByteStreams;

const string Room = "room";

var connections = new ByteStreamConnections();
await using ByteStreamServer server = await ByteStream.StartServerAsync(ServeAsync, "127.0.0.1", 7085);
Console.WriteLine($"Serving on {server.EndPoints[0]}");
await server.ServeForeverAsync();

async Task ServeAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
{
    string? name = (await reader.ReadTextLineAsync(cancellationToken: stopping))?.Trim();
    if (string.IsNullOrEmpty(name))
    {
        return;
    }

    // DisposeAsync writes the queued lines before the connection is closed.
    await using ByteStreamMember member = connections.Register(writer, name.ToUpperInvariant(), Encoding.UTF8.GetBytes(name));
    PresenceSnapshot others = await connections.User(name.ToUpperInvariant()).Except(member.Id).PresenceAsync(stopping);
    if (others.Connections.Count > 0)
    {
        writer.Write($"{name} is already here\n");
        return;
    }

    await member.JoinAsync(Room, stopping);
    await BroadcastAsync($"* {name} joined");
    try
    {
        while (await reader.ReadTextLineAsync(cancellationToken: stopping) is { } line)
        {
            if (line == "/who")
            {
                PresenceSnapshot present = await connections.Group(Room).PresenceAsync(stopping);
                writer.Write($"* {string.Join(", ", present.Connections.Select(one => Encoding.UTF8.GetString(one.Metadata.Span)).Order(StringComparer.OrdinalIgnoreCase))}\n");
            }
            else
            {
                await BroadcastAsync($"{name}: {line}");
            }
        }
    }
    finally
    {
        await member.LeaveAsync(Room, CancellationToken.None);
        await BroadcastAsync($"* {name} left");
    }
}

ValueTask BroadcastAsync(string line) => connections.Group(Room).SendAsync(Encoding.UTF8.GetBytes($"{line}\n"));
