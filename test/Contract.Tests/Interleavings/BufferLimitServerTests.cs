using System.Net;
using System.Net.Sockets;
using System.Text;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Contract.Tests.Interleavings;

/// <summary>The process's own limit, with real sockets: no other test runs, which it would pause as well.</summary>
[Collection(nameof(Alone))]
public sealed class BufferLimitServerTests : IAsyncLifetime
{
    private const int Limit = 1 << 20;
    private const int Peers = 40;

    /// <summary>A line without its end takes blocks of 84 KiB; twelve lines reach the limit.</summary>
    private static readonly byte[] Unfinished = [.. Enumerable.Repeat((byte)'x', 60_000)];

    private readonly List<Socket> _sockets = [];

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    /// <summary>Waits until the blocks of earlier tests are released: those that closing connections return, and those that are left to the collector.</summary>
    public async ValueTask InitializeAsync()
    {
        await Patience.UntilAsync(CollectedTotal, total => total == 0);
        BufferLimit.Process.Change(Limit);
    }

    public ValueTask DisposeAsync()
    {
        BufferLimit.Process.Change(null);
        _sockets.ForEach(socket => socket.Dispose());
        return default;
    }

    [Fact(Timeout = 60000), Trait("Fault", "F83")]
    public async Task Receive_AboveTheLimit_HoldersArePausedSmallRequestsAreServedAndReadingResumes()
    {
        await using ByteStreamServer server = await StartAsync();
        Socket[] peers = await FillAsync(server);
        Assert.InRange(BufferedBytes.Total, Limit - (Limit / 8), Limit * 3 / 2);

        Socket honest = await ConnectAsync(server);
        await SendAsync(honest, "hello\n"u8.ToArray());
        Assert.Equal("hello\n", Encoding.ASCII.GetString(await ReceiveAsync(honest, 6)));

        // Each is answered once the others have left enough.
        foreach (Socket peer in peers)
        {
            _ = SendAsync(peer, "\n"u8.ToArray());
        }

        // All at once: answers that are not taken count as well, and would keep the others paused.
        foreach (byte[] answer in await Task.WhenAll(peers.Select(peer => ReceiveAsync(peer, Unfinished.Length + 1))))
        {
            Assert.Equal((byte)'\n', answer[^1]);
            Assert.Equal(Unfinished, answer[..^1]);
        }

        await UntilReleasedAsync();
    }

    [Theory(Timeout = 60000), Trait("Fault", "F83")]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Receive_AboveTheLimitAndThePeersLeave_TheirMemoryIsReleased(bool resets)
    {
        await using ByteStreamServer server = await StartAsync();
        foreach (Socket peer in await FillAsync(server))
        {
            peer.LingerState = new LingerOption(resets, 0);
            peer.Dispose();
        }

        await Patience.UntilAsync(() => server.ClientCount, count => count == 0);
        await UntilReleasedAsync();
    }

    [Fact(Timeout = 60000), Trait("Fault", "F83")]
    public async Task ReceiveIdle_ConnectionIsPaused_EndsIt()
    {
        await using ByteStreamServer server = await StartAsync(TimeSpan.FromSeconds(2));
        await FillAsync(server);

        await Patience.UntilAsync(() => server.ClientCount, count => count == 0);
        await UntilReleasedAsync();
    }

    [Fact(Timeout = 60000), Trait("Fault", "F83")]
    public async Task Send_PeersTakeNoAnswersAboveTheLimit_TheirRequestsAreNotReceived()
    {
        await using ByteStreamServer server = await StartAsync();
        await FillAsync(server);
        var asking = new List<Socket>();
        byte[] request = [.. Enumerable.Repeat((byte)'y', 500), (byte)'\n'];
        for (int i = 0; i < Peers; i++)
        {
            asking.Add(await ConnectAsync(server));
        }

        long filled = BufferedBytes.Total;
        asking.ForEach(peer => peer.Blocking = false);
        // Rounds in which no peer can send: the server does not receive any more.
        for (int still = 0; still < 20;)
        {
            bool hasSent = false;
            foreach (Socket peer in asking)
            {
                SocketError error;
                do
                {
                    peer.Send(request, SocketFlags.None, out error);
                    hasSent |= error == SocketError.Success;
                }
                while (error == SocketError.Success);
            }

            still = hasSent ? 0 : still + 1;
            await Task.Delay(1, Test);
        }

        // Two small blocks of requests, and of answers what a receive brings.
        Assert.InRange(BufferedBytes.Total - filled, 0, Peers * 10 * 1024);
        // Else the server's stop waits its whole timeout for peers that take no answer.
        _sockets.ForEach(socket => socket.Dispose());
    }

    [Fact(Timeout = 60000), Trait("Fault", "F83")]
    public async Task BufferedBytes_AConnectionIsAbandonedWithItsBlocks_CountsThemNoMore()
    {
        BufferLimit.Process.Change(null);
        await Task.Run(Abandon, Test);
        await Patience.UntilAsync(CollectedTotal, total => total < 65536);

        static void Abandon()
        {
            for (int i = 0; i < 100; i++)
            {
                Segment.Take().Rent(16384, previous: null);
            }

            Assert.True(BufferedBytes.Total >= 100 * 16384);
        }
    }

    [Fact(Timeout = 60000), Trait("Fault", "F83")]
    public async Task Log_AnotherServerHasStartedLaterAndStopped_IsThatOfTheOneThatRuns()
    {
        var running = new FakeLogCollector();
        var stopped = new FakeLogCollector();
        using var one = new LoggerFactory([new FakeLoggerProvider(running)]);
        using var other = new LoggerFactory([new FakeLoggerProvider(stopped)]);
        await using ByteStreamServer server = await StartAsync(logger: one);
        await (await StartAsync(logger: other)).DisposeAsync();

        await FillAsync(server);

        await Patience.UntilAsync(() => running.GetSnapshot().Any(line => line.Id.Id == 305));
        Assert.DoesNotContain(stopped.GetSnapshot(), line => line.Id.Id == 305);
    }

    private static Task<ByteStreamServer> StartAsync(TimeSpan? receiveIdle = null, ILoggerFactory? logger = null) => ByteStream.StartServerAsync(
        async (reader, writer, stopping) =>
        {
            while (true)
            {
                byte[] line = await reader.ReadLineAsync(stopping);
                if (line.Length == 0)
                {
                    return;
                }

                writer.Write(line);
                await writer.DrainAsync(stopping);
            }
        },
        new IPEndPoint(IPAddress.Loopback, 0),
        Options(receiveIdle, logger),
        Test);

    private static ByteStreamServerOptions Options(TimeSpan? receiveIdle, ILoggerFactory? logger)
    {
        var options = new ByteStreamServerOptions { SendBufferSize = 8192 };
        if (logger is not null)
        {
            options.LoggerFactory = logger;
        }

        options.UseTimeouts(timeouts => timeouts.ReceiveIdle = receiveIdle);
        return options;
    }

    /// <summary>Connects peers that send lines without an end until some of them are not read any more.</summary>
    private async Task<Socket[]> FillAsync(ByteStreamServer server)
    {
        var peers = new List<Socket>();
        while (peers.Count < Peers)
        {
            Socket peer = await ConnectAsync(server);
            await SendAsync(peer, Unfinished);
            peers.Add(peer);
        }

        await Patience.UntilAsync(() => BufferLimit.Process.Paused, paused => paused > Peers / 4);
        return [.. peers];
    }

    private async Task<Socket> ConnectAsync(ByteStreamServer server)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 8192 };
        _sockets.Add(socket);
        await socket.ConnectAsync(server.EndPoints[0], Test);
        return socket;
    }

    private static async Task SendAsync(Socket socket, byte[] bytes)
    {
        for (int sent = 0; sent < bytes.Length;)
        {
            sent += await socket.SendAsync(bytes.AsMemory(sent), Test);
        }
    }

    private static async Task<byte[]> ReceiveAsync(Socket socket, int count)
    {
        byte[] received = new byte[count];
        for (int got = 0; got < count;)
        {
            int more = await socket.ReceiveAsync(received.AsMemory(got), Test);
            Assert.NotEqual(0, more);
            got += more;
        }

        return received;
    }

    /// <summary>Returns the buffered bytes once the finalizers of abandoned blocks have run.</summary>
    private static long CollectedTotal()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return BufferedBytes.Total;
    }

    /// <summary>
    /// Waits until no connection is paused and at most one large block is held. A peer can have received an answer before the thread that
    /// sent it has returned the block.
    /// </summary>
    private static async Task UntilReleasedAsync() => await Patience.UntilAsync(
        () => (BufferLimit.Process.Paused, BufferLimit.Process.IsExceeded, BufferedBytes.Total),
        now => now is { Paused: 0, IsExceeded: false, Total: <= 65536 });
}
