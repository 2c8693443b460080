using System.Text;

namespace ByteStreams.Cluster.Host;

/// <summary>
/// A line protocol for all operations of <see cref="ByteStreamConnections"/>. The first line registers the connection. Answers start with <c>=</c>;
/// a message is delivered as sent, with a line feed.
/// </summary>
/// <remarks>
/// <code>
/// register [USER]                =id ID
/// exclusive USER                 =id ID
/// join GROUP                     =joined GROUP
/// leave GROUP                    =left GROUP
/// send TARGET MESSAGE            no answer
/// except ID TARGET MESSAGE       no answer
/// presence TARGET                =presence complete|incomplete [ID ...]
/// </code>
/// A target is <c>group:NAME</c>, <c>user:NAME</c>, <c>connection:ID</c> or <c>all:</c>.
/// </remarks>
internal sealed class GroupsHandler(ByteStreamConnections connections) : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        string? first = await reader.ReadTextLineAsync(cancellationToken: stopping);
        if (first is null)
        {
            return;
        }

        string[] words = first.Split(' ');
        await using ByteStreamMember member = words switch
        {
            ["register"] => connections.Register(writer),
            ["register", string user] => connections.Register(writer, user),
            ["exclusive", string user] => connections.RegisterExclusive(writer, user),
            _ => throw new InvalidDataException($"Invalid registration: {first}"),
        };
        await AnswerAsync($"=id {member.Id}");
        while (await reader.ReadTextLineAsync(cancellationToken: stopping) is string line)
        {
            words = line.Split(' ', 2);
            string rest = words.Length > 1 ? words[1] : string.Empty;
            switch (words[0])
            {
                case "join":
                    await member.JoinAsync(rest, stopping);
                    await AnswerAsync($"=joined {rest}");
                    break;
                case "leave":
                    await member.LeaveAsync(rest, stopping);
                    await AnswerAsync($"=left {rest}");
                    break;
                case "send":
                    words = rest.Split(' ', 2);
                    await Target(words[0]).SendAsync(Encoding.UTF8.GetBytes(words[1] + '\n'), stopping);
                    break;
                case "except":
                    words = rest.Split(' ', 3);
                    await Target(words[1]).Except(words[0]).SendAsync(Encoding.UTF8.GetBytes(words[2] + '\n'), stopping);
                    break;
                case "presence":
                    PresenceSnapshot present = await Target(rest).PresenceAsync(stopping);
                    IEnumerable<string> ids = present.Connections.Select(connection => connection.Id).Order(StringComparer.Ordinal);
                    await AnswerAsync(string.Join(' ', ["=presence", present.IsComplete ? "complete" : "incomplete", .. ids]));
                    break;
                default:
                    throw new InvalidDataException($"Unknown command: {line}");
            }
        }

        async ValueTask AnswerAsync(string answer)
        {
            writer.Write(answer + '\n');
            await writer.DrainAsync(stopping);
        }
    }

    private ByteStreamTarget Target(string text)
    {
        // A connection id contains a colon.
        string[] parts = text.Split(':', 2);
        return parts switch
        {
            ["group", string name] => connections.Group(name),
            ["user", string name] => connections.User(name),
            ["connection", string id] => connections.Connection(id),
            ["all", ""] => connections.All,
            _ => throw new InvalidDataException($"Unknown target: {text}"),
        };
    }
}
