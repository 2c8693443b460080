#:project ../src/Middleware/ByteStreams.csproj

// A chat with presence: the first line is the name, joins and leaves are announced, and /who lists who is there.
//
//   dotnet run samples/chat-presence.cs
//
// Serves 127.0.0.1:7085. Try it with two of: nc 127.0.0.1 7085
// Enter a name in each, then lines. A client that does not read is disconnected when 100 lines wait for it; the others do not wait.

using System.Collections.Concurrent;
using System.Threading.Channels;
using ByteStreams;
using Microsoft.AspNetCore.Hosting;

var room = new Room();
// A client that has left and does not read its last lines is disconnected, too.
ByteStreamServerOptions options = new ByteStreamServerOptions().UseTimeouts(timeouts => timeouts.SendStall = TimeSpan.FromSeconds(30));
await using ByteStreamServer server = await ByteStream.StartServerAsync(ServeAsync, "127.0.0.1", 7085, options);
Console.WriteLine($"Serving on {server.EndPoints[0]}");
await server.ServeForeverAsync();

async Task ServeAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
{
    string? name = (await reader.ReadTextLineAsync(cancellationToken: stopping))?.Trim();
    if (string.IsNullOrEmpty(name))
    {
        return;
    }

    var member = new Member(name, writer);
    if (!room.TryJoin(member))
    {
        writer.Write($"{name} is already here\n");
        return;
    }

    Task sending = member.SendAsync();
    try
    {
        while (await reader.ReadTextLineAsync(cancellationToken: stopping) is { } line)
        {
            if (line == "/who")
            {
                member.Post($"* {room.Names}");
            }
            else
            {
                room.Broadcast($"{name}: {line}");
            }
        }
    }
    finally
    {
        room.Leave(member);
        await sending;
    }
}

internal sealed class Room
{
    private readonly ConcurrentDictionary<string, Member> _members = new(StringComparer.OrdinalIgnoreCase);

    public string Names => string.Join(", ", _members.Keys.Order(StringComparer.OrdinalIgnoreCase));

    public bool TryJoin(Member member)
    {
        if (!_members.TryAdd(member.Name, member))
        {
            return false;
        }

        Broadcast($"* {member.Name} joined");
        return true;
    }

    public void Leave(Member member)
    {
        _members.TryRemove(member.Name, out _);
        member.Complete();
        Broadcast($"* {member.Name} left");
    }

    public void Broadcast(string line)
    {
        foreach (Member member in _members.Values)
        {
            member.Post(line);
        }
    }
}

/// <summary>A client and the lines that wait for it. Only its own task writes to the connection.</summary>
internal sealed class Member(string name, ByteStreamWriter writer)
{
    private readonly Channel<string> _lines = Channel.CreateBounded<string>(100);
    private volatile bool _left;

    public string Name => name;

    public void Post(string line)
    {
        // Also refused after the member has left; its last lines are still being sent then.
        if (!_lines.Writer.TryWrite(line) && !_left)
        {
            writer.Abort();
        }
    }

    public void Complete()
    {
        _left = true;
        _lines.Writer.Complete();
    }

    public async Task SendAsync()
    {
        await foreach (string line in _lines.Reader.ReadAllAsync())
        {
            writer.Write($"{line}\n");
            await writer.DrainAsync();
        }
    }
}
