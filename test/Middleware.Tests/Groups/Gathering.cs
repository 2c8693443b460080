using System.Collections.Concurrent;
using System.Net;

namespace ByteStreams.Middleware.Tests.Groups;

/// <summary>A server whose handlers register their connections: the first line is "USER GROUP...", with - for no user, and further lines are ignored.</summary>
internal sealed class Gathering : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, TaskCompletionSource<ByteStreamMember>> _members = new();
    private readonly List<ByteStreamConnection> _clients = [];

    private Gathering(ByteStreamConnections connections) => Connections = connections;

    public ByteStreamConnections Connections { get; }

    public ByteStreamServer Server { get; private set; } = null!;

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    public static async Task<Gathering> StartAsync(
        bool overTcp = false, long maxPending = 1 << 20, Action<ByteStreamServerOptions>? configure = null, TimeProvider? time = null)
    {
        var gathering = new Gathering(new ByteStreamConnections(new ByteStreamConnectionsOptions
        {
            MaxPending = maxPending,
            PendingTimeout = time is null ? TimeSpan.FromDays(1) : TimeSpan.FromSeconds(30),
            TimeProvider = time ?? TimeProvider.System,
        }));
        var options = new ByteStreamServerOptions();
        configure?.Invoke(options);
        gathering.Server = await ByteStream.StartServerAsync(
            gathering.HandleAsync, overTcp ? new IPEndPoint(IPAddress.Loopback, 0) : new InMemoryEndPoint(Guid.NewGuid().ToString()), options, Test);
        return gathering;
    }

    /// <summary>Connects a client, and returns when it is registered and has joined.</summary>
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
