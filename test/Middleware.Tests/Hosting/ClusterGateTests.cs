using System.Net;
using System.Net.Sockets;
using ByteStreams.Groups;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>Connections that arrive before their host is ready in its cluster.</summary>
public sealed class ClusterGateTests : IAsyncDisposable
{
    private readonly FakeTimeProvider _time = new();
    private readonly JoiningBackplane _backplane = new();
    private readonly TaskCompletionSource<string?> _line = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IHost? _host;

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    private ByteStreamServer Server => _host!.Services.GetRequiredService<ByteStreamServers>()["lines"];

    private ByteStreamMonitor Monitor => _host!.Services.GetRequiredService<ByteStreamMonitor>();

    public async ValueTask DisposeAsync()
    {
        if (_host is not null)
        {
            await _host.StopAsync(CancellationToken.None);
            _host.Dispose();
        }
    }

    [Fact(Timeout = 60000)]
    public async Task Connection_HostBecomesReady_IsServedWithWhatTheClientHasSent()
    {
        await StartAsync();
        using Socket client = await ConnectAsync();
        client.Send("early\n"u8);
        // The client may half-close before the host is ready, and still waits for its reply.
        client.Shutdown(SocketShutdown.Send);
        Assert.False(_line.Task.IsCompleted);

        _backplane.Ready.SetResult();

        Assert.Equal("early", await _line.Task.WaitAsync(Patience.Limit, Test));
        Assert.Equal(3, await client.ReceiveAsync(new byte[16], Test));
    }

    [Fact(Timeout = 60000)]
    public async Task Connection_ClientResetsIt_DoesNotWaitForTheHost()
    {
        await StartAsync();
        Socket client = await ConnectAsync();

        client.Close(timeout: 0);

        await Patience.UntilAsync(() => Monitor.Active, count => count == 0);
        _backplane.Ready.SetResult();
        Assert.False(_line.Task.IsCompleted);
    }

    [Fact(Timeout = 60000)]
    public async Task Connection_HostIsNotReadyFor30Seconds_IsClosedAsDrained()
    {
        await StartAsync();
        using Socket client = await ConnectAsync();

        DateTimeOffset connected = _time.GetUtcNow();
        Task<int> receiving = client.ReceiveAsync(new byte[16], Test).AsTask();
        // The gate's timer may start after the first steps.
        await Patience.UntilAsync(() =>
        {
            _time.Advance(TimeSpan.FromSeconds(0.1));
            return receiving.IsCompleted;
        });

        Assert.True(_time.GetUtcNow() - connected >= TimeSpan.FromSeconds(30));
        SocketException reset = await Assert.ThrowsAsync<SocketException>(() => receiving);
        Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        Assert.False(_line.Task.IsCompleted);
    }

    private async Task StartAsync()
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.AddSingleton<TimeProvider>(_time);
        builder.Services.AddSingleton<ByteStreamBackplane>(_backplane);
        builder.Services.AddByteStreams().AddEndpoint(
            "lines",
            "tcp://127.0.0.1:0",
            async (reader, writer, stopping) =>
            {
                _line.SetResult(await reader.ReadTextLineAsync(cancellationToken: stopping));
                writer.Write("ok\n");
            });
        _host = builder.Build();
        await _host.StartAsync(Test);
    }

    /// <summary>Connects, and returns when the connection waits for the host.</summary>
    private async Task<Socket> ConnectAsync()
    {
        var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync((IPEndPoint)Server.EndPoints[0], Test);
        await Patience.UntilAsync(() => _backplane.Waiting, waiting => waiting > 0);
        return client;
    }

    /// <summary>The backplane of a host that joins its cluster when the test lets it.</summary>
    private sealed class JoiningBackplane : ByteStreamBackplane
    {
        private int _waiting;

        public TaskCompletionSource Ready { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Waiting => Volatile.Read(ref _waiting);

        public override string HostId => "0123456789abc";

        public override string? NotReadyReason => Ready.Task.IsCompleted ? null : "This host is joining.";

        public override Task WhenReady
        {
            get
            {
                Interlocked.Increment(ref _waiting);
                return Ready.Task;
            }
        }

        public override bool IsEvicted => false;

        public override void Attach(ByteStreamConnections connections)
        {
        }

        public override Task Announce(TargetKind kind, string name) => Task.CompletedTask;

        public override void Withdraw(TargetKind kind, string name)
        {
        }

        public override ValueTask SendAsync(
            TargetKind kind, string name, string? except, ReadOnlyMemory<byte> message, CancellationToken cancellationToken) => default;

        public override void Check(ReadOnlyMemory<byte> message)
        {
        }

        public override ValueTask<bool> AskAsync(
            TargetKind kind, string name, string? except, List<PresentConnection> present, CancellationToken cancellationToken) => new(true);

        public override void Replace(string user, long number, string id)
        {
        }
    }
}
