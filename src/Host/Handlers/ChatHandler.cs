using System.Text;
using ByteStreams;

namespace StreamsHost.Handlers;

/// <summary>
/// Sends each line to every connected client, the sender included. A client that does not read is disconnected (<c>slow_consumer</c>): no client
/// waits for another, and a client that stays connected misses no line.
/// </summary>
internal sealed class ChatHandler(ByteStreamConnections connections) : ByteStreamHandler
{
    /// <summary>The group of its clients.</summary>
    public const string Room = "chat";

    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        // Disposed at the end: the lines that wait for the client are written before its connection is closed.
        await using ByteStreamMember member = connections.Register(writer);
        await member.JoinAsync(Room, stopping);
        ByteStreamTarget room = connections.Group(Room);
        while (true)
        {
            try
            {
                byte[] line = await reader.ReadLineAsync(stopping);
                if (line.Length == 0)
                {
                    return;
                }

                await room.SendAsync(line[^1] == (byte)'\n' ? line : [.. line, (byte)'\n'], stopping);
            }
            catch (LimitOverrunException)
            {
                await room.SendAsync(Encoding.UTF8.GetBytes($"(a line over {reader.Limit} bytes was dropped)\n"), stopping);
            }
        }
    }
}
