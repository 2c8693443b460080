using System.Text;
using ByteStreams;

namespace StreamsHost.Handlers;

/// <summary>
/// Sends each line to every connected client, including the sender. A client that does not read is aborted (<c>slow_consumer</c>): it does not
/// delay other clients, and a client that stays connected gets every line.
/// </summary>
internal sealed class ChatHandler(ByteStreamConnections connections) : ByteStreamHandler
{
    /// <summary>The group of all clients.</summary>
    public const string Room = "chat";

    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        // DisposeAsync writes the queued lines before the connection is closed.
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
