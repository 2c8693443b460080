using System.Text;
using ByteStreams;

namespace ClusterChat;

/// <summary>
/// A chat across hosts. The first line of a client is its nick; a new connection of a nick replaces the older one on any host. Further lines go to
/// the client's room. /who lists the room, /room NAME changes the room, /to NICK TEXT sends to one user.
/// </summary>
internal sealed class ChatHandler(ByteStreamConnections connections) : ByteStreamHandler
{
    private static readonly string Host = Environment.MachineName;

    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        writer.Write($"* {Host} asks for your nick\n");
        if ((await reader.ReadTextLineAsync(cancellationToken: stopping))?.Trim() is not { Length: > 0 } nick)
        {
            return;
        }

        // DisposeAsync writes the queued lines before the connection is closed.
        await using ByteStreamMember member = connections.RegisterExclusive(writer, UserId(nick), Encoding.UTF8.GetBytes($"{nick} on {Host}"));
        string room = "lobby";
        await EnterAsync();
        try
        {
            while (await reader.ReadTextLineAsync(cancellationToken: stopping) is { } line)
            {
                switch (line.Split(' ', 3))
                {
                    case ["/who"]:
                        PresenceSnapshot present = await connections.Group(room).PresenceAsync(stopping);
                        IEnumerable<string> names = present.Connections.Select(one => Encoding.UTF8.GetString(one.Metadata.Span)).Order();
                        writer.Write($"* {string.Join(", ", names)}{(present.IsComplete ? "" : "; a host did not answer")}\n");
                        break;
                    case ["/room", { Length: > 0 } next]:
                        await ExitAsync();
                        room = next;
                        await EnterAsync();
                        break;
                    case ["/to", { Length: > 0 } to, string text]:
                        await SendAsync(connections.User(UserId(to)), $"{nick} to you: {text}");
                        break;
                    default:
                        await SendAsync(connections.Group(room), $"{nick}: {line}");
                        break;
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            writer.Write($"* {Host} stops, connect again\n");
        }
        finally
        {
            await ExitAsync();
        }

        async Task EnterAsync()
        {
            await member.JoinAsync(room, stopping);
            await SendAsync(connections.Group(room), $"* {nick} on {Host} entered {room}");
        }

        async Task ExitAsync()
        {
            await member.LeaveAsync(room, CancellationToken.None);
            await SendAsync(connections.Group(room), $"* {nick} on {Host} left {room}");
        }
    }

    private static string UserId(string nick) => nick.ToUpperInvariant();

    private static ValueTask SendAsync(ByteStreamTarget target, string line) => target.SendAsync(Encoding.UTF8.GetBytes($"{line}\n"));
}
