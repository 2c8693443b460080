using System.Collections.Concurrent;
using System.Net;

namespace ByteStreams.Middleware.Tests.Groups;

/// <summary>A server whose handler registers each connection. The first line is "NAME USER GROUP...", with - for no user; further bytes are ignored.</summary>
internal sealed class GroupServer : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, TaskCompletionSource<ByteStreamMember>> _members = new();
    private readonly List<ByteStreamConnection> _clients = [];

    private GroupServer(ByteStreamConnections connections) => Connections = connections;

    public ByteStreamConnections Connections { get; }

    public ByteStreamServer Server { get; private set; } = null!;

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    public static async Task<GroupServer> StartAsync(
        bool overTcp = false, long maxPending = 1 << 20, Action<ByteStreamServerOptions>? configure = null, TimeProvider? time = null)
    {
        var server = new GroupServer(new ByteStreamConnections(new ByteStreamConnectionsOptions
        {
            MaxPending = maxPending,
            PendingTimeout = time is null ? TimeSpan.FromDays(1) : TimeSpan.FromSeconds(30),
            TimeProvider = time ?? TimeProvider.System,
        }));
        var options = new ByteStreamServerOptions();
        configure?.Invoke(options);
        server.Server = await ByteStream.StartServerAsync(
            server.HandleAsync, overTcp ? new IPEndPoint(IPAddress.Loopback, 0) : new InMemoryEndPoint(Guid.NewGuid().ToString()), options, Test);
        return server;
    }

    /// <summary>Connects a client. Returns after it is registered and has joined its groups.</summary>
    public async Task<(ByteStreamConnection Client, ByteStreamMember Member)> ConnectAsync(string user = "-", params string[] groups)
    {
        ByteStreamConnection client = await ByteStream.OpenConnectionAsync(Server.EndPoints[0], cancellationToken: Test);
        _clients.Add(client);
        string name = Guid.NewGuid().ToString();
        var joined = new TaskCompletionSource<ByteStreamMember>(TaskCreationOptions.RunContinuationsAsynchronously);
        _members[name] = joined;
        client.Writer.Write($"{name} {user} {string.Join(' ', groups)}\n");
        return (client, await joined.Task.WaitAsync(Patience.Limit, Test));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ByteStreamConnection client in _clients)
        {
            client.Writer.Abort();
        }

        await Server.DisposeAsync();
    }

    private async Task HandleAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        string[] words = (await reader.ReadTextLineAsync(cancellationToken: stopping))!.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        await using ByteStreamMember member = Connections.Register(writer, words[1] == "-" ? null : words[1], "of " + words[1] is { } text ? System.Text.Encoding.ASCII.GetBytes(text) : default);
        foreach (string group in words[2..])
        {
            await member.JoinAsync(group, stopping);
        }

        _members[words[0]].SetResult(member);
        await reader.ReadAsync(-1, stopping);
    }
}
