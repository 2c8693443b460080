using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using ByteStreams.Connections;
using ByteStreams.Testing;
using ByteStreams.Transport.Sockets;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>F74: the end of one side of a relayed connection ends the other, whatever the relay waits for.</summary>
public sealed class RelayEndTests : ServedTest
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    private readonly string _folder = Directory.CreateTempSubdirectory("relay-end-").FullName;
    private readonly AuthorityFiles _authority;
    private readonly FakeLogCollector _log = new();
    private readonly Socket _upstream;
    private ByteStreamRelay? _relay;
    private ByteStreamServer? _server;
    private ByteStreamMonitor? _monitor;

    public RelayEndTests()
    {
        _authority = Own(new AuthorityFiles());
        Own(new Folder(_folder));

        // It listens and takes nothing beyond its buffers, as a process that is stopped.
        _upstream = Own(new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 });
        _upstream.Bind(new IPEndPoint(IPAddress.IPv6Loopback, 0));
        _upstream.Listen(10);
    }

    [Theory]
    [InlineData(nameof(TimeoutOptions.FirstByte), 0, false, "first_byte_timeout")]
    [InlineData(nameof(TimeoutOptions.ReceiveIdle), 4, false, "receive_idle_timeout")]
    [InlineData(nameof(TimeoutOptions.HalfClosed), 4, true, "half_closed_timeout")]
    [InlineData(nameof(TimeoutOptions.Lifetime), 4, true, "lifetime_exceeded")]
    // More than the upstream takes: the relay does not read the client any more.
    [InlineData(nameof(TimeoutOptions.HalfClosed), 120_000, true, "half_closed_timeout")]
    [InlineData(nameof(TimeoutOptions.SendStall), 120_000, false, "send_stall_timeout")]
    [InlineData(nameof(TimeoutOptions.Lifetime), 120_000, false, "lifetime_exceeded")]
    [Trait("Fault", "F74")]
    public async Task Timeout_UpstreamTakesNothing_EndsBothSides_F74(string limit, int bytes, bool ends, string reason)
    {
        var time = new FakeTimeProvider();
        EndPoint endPoint = await RelayAsync("tcp", time, timeouts =>
        {
            timeouts.SendStall = null;
            typeof(TimeoutOptions).GetProperty(limit)!.SetValue(timeouts, Limit);
        });
        using Socket client = await ConnectAsync(endPoint, bytes);
        using Socket accepted = await _upstream.AcceptAsync(Soon);
        if (ends)
        {
            client.Shutdown(SocketShutdown.Send);
            await Patience.UntilAsync(() => SocketState.Unacknowledged(client) == 0);
        }

        await AdvanceUntilEndedAsync(time, reason);

        await AssertEndsAsync(accepted);
        await AssertEndsAsync(client);
        Assert.Equal(0, _relay!.Upstreams.All[0].Active);
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("tls")]
    [InlineData("unix")]
    [Trait("Fault", "F74")]
    public async Task ClientResets_WhileTheUpstreamTakesNothing_EndsBothSides_F74(string kind)
    {
        EndPoint endPoint = await RelayAsync(kind, TimeProvider.System);
        using Socket client = await ConnectAsync(endPoint, 0);
        using Socket accepted = await StallAsync(kind, client);

        client.LingerState = new LingerOption(true, 0);
        client.Dispose();

        await UntilEndedAsync("reset_by_peer");
        await AssertEndsAsync(accepted);
    }

    [Fact]
    [Trait("Fault", "F74")]
    public async Task UpstreamResets_WhileTheClientTakesNothing_EndsBothSides_F74()
    {
        EndPoint endPoint = await RelayAsync("tcp", TimeProvider.System);
        using Socket client = await ConnectAsync(endPoint, 0);
        using Socket accepted = await _upstream.AcceptAsync(Soon);
        await SendUntilPausedAsync(block => accepted.Send(block, SocketFlags.None, out _), accepted);

        accepted.LingerState = new LingerOption(true, 0);
        accepted.Dispose();

        await UntilEndedAsync("upstream_reset");
        await AssertEndsAsync(client);
    }

    [Fact]
    [Trait("Fault", "F74")]
    public async Task Abort_ByAnOperatorWhileTheUpstreamTakesNothing_EndsBothSides_F74()
    {
        EndPoint endPoint = await RelayAsync("tcp", TimeProvider.System);
        using Socket client = await ConnectAsync(endPoint, 0);
        using Socket accepted = await StallAsync("tcp", client);

        Assert.True(_monitor!.Abort(Assert.Single(_monitor.Connections()).Id));

        await UntilEndedAsync("closed_by_operator");
        await AssertEndsAsync(accepted);
        await AssertEndsAsync(client);
    }

    [Fact]
    [Trait("Fault", "F74")]
    public async Task StopDeadline_UpstreamTakesNothing_LeavesNoHandler_F74()
    {
        EndPoint endPoint = await RelayAsync("tcp", TimeProvider.System);
        using Socket client = await ConnectAsync(endPoint, 0);
        using Socket accepted = await StallAsync("tcp", client);

        DrainReport report = await _server!.StopAsync(TimeSpan.Zero, Soon);

        Assert.Equal((1, 0), (report.Aborted, report.LeftBehind));
        await AssertEndsAsync(accepted);
    }

    [Fact]
    [Trait("Fault", "F74")]
    public async Task ClientResets_WhileTheUpstreamHandshakes_StopsConnecting_F74()
    {
        EndPoint endPoint = await RelayAsync("tcp", TimeProvider.System, configure: relay =>
        {
            relay.Upstreams[0] = relay.Upstreams[0].Replace("tcp:", "tls:", StringComparison.Ordinal);
            relay.ConnectTimeout = TimeSpan.FromMinutes(10);
        });
        using Socket client = await ConnectAsync(endPoint, 4);
        using Socket accepted = await _upstream.AcceptAsync(Soon);
        // The ClientHello, which is not answered.
        await accepted.ReceiveAsync(new byte[1], Soon);

        client.LingerState = new LingerOption(true, 0);
        client.Dispose();

        await UntilEndedAsync("reset_by_peer");
        await AssertEndsAsync(accepted);
        Assert.Single(_log.GetSnapshot(), record => record.Id.Id == 659);
        Assert.Equal(0, _relay!.Upstreams.All[0].Active);
        Assert.DoesNotContain(_log.GetSnapshot(), record => record.Id.Id is 650 or 656);
    }

    /// <summary>A client that has sent so much.</summary>
    private async Task<Socket> ConnectAsync(EndPoint endPoint, int bytes)
    {
        Socket client = Own(new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified));
        await client.ConnectAsync(endPoint, Soon);
        await client.SendAsync(new byte[bytes], Soon);
        return client;
    }

    /// <summary>Has the client send until the relay takes no more; returns the upstream's connection, which is not read.</summary>
    private async Task<Socket> StallAsync(string kind, Socket client)
    {
        Socket accepted;
        if (kind == "tls")
        {
            using var stream = new NetworkStream(client, ownsSocket: false);
            var tls = new SslStream(stream, leaveInnerStreamOpen: true);
            Task handshake = tls.AuthenticateAsClientAsync(
                new TlsClientOptions { CaPath = _authority.CaPath, ServerName = "localhost" }.CreateAuthenticationOptions(), Soon);
            accepted = await _upstream.AcceptAsync(Soon);
            await handshake;
            byte[] block = new byte[65536];
            Task sent = Task.CompletedTask;
            while (sent.IsCompleted)
            {
                sent = tls.WriteAsync(block, Soon).AsTask();
                await Task.WhenAny(sent, Task.Delay(500, Soon));
            }

            _ = sent.ContinueWith(static ended => _ = ended.Exception, TaskScheduler.Default);
            return accepted;
        }

        accepted = await _upstream.AcceptAsync(Soon);
        if (kind == "unix")
        {
            // What a Unix client has not read when it closes makes a reset of the close.
            await accepted.SendAsync("unread"u8.ToArray(), Soon);
            await Patience.UntilAsync(() => client.Available, now => now == 6);
        }

        await SendUntilPausedAsync(block => client.Send(block, SocketFlags.None, out _), client);
        return accepted;
    }

    private async Task SendUntilPausedAsync(Func<byte[], int> send, Socket socket)
    {
        socket.Blocking = false;
        byte[] block = new byte[65536];
        while (await Task.Run(() => socket.Poll(TimeSpan.FromMilliseconds(500), SelectMode.SelectWrite), Soon))
        {
            _ = send(block);
        }
    }

    private async Task<EndPoint> RelayAsync(
        string kind, TimeProvider time, Action<TimeoutOptions>? timeouts = null, Action<RelayOptions>? configure = null)
    {
        ILoggerFactory loggers = LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Debug).AddProvider(new FakeLoggerProvider(_log)));
        var relayOptions = new RelayOptions
        {
            Tls = { CaPath = _authority.CaPath },
            // Little on the way, so that the rest of what a client sends waits in its socket.
            Connection = { TimeProvider = time, SendBufferSize = 4096, WriteBufferHighWater = 4096 },
        };
        relayOptions.Upstreams.Add($"tcp://{_upstream.LocalEndPoint}");
        configure?.Invoke(relayOptions);
        _relay = Own(new ByteStreamRelay(relayOptions, loggers));
        var metrics = Own(new ByteStreamMetrics(null));
        _monitor = new ByteStreamMonitor(new ByteStreamServers(), metrics);
        var options = new ByteStreamServerOptions
        {
            Name = "relay",
            LoggerFactory = loggers,
            TimeProvider = time,
            MaxReceiveBlock = 4096,
            ApplicationServices = Own(new Metered(metrics)),
        };
        options.UseTelemetry();
        if (kind == "tls")
        {
            options.UseTls(tls => tls.Certificates.Add(_authority.Write("localhost")));
        }

        options.UseTimeouts(limits =>
        {
            limits.SendStall = null;
            timeouts?.Invoke(limits);
        });
        EndPoint place = kind == "unix" ? new UnixDomainSocketEndPoint(Path.Combine(_folder, "relay.sock")) : new IPEndPoint(IPAddress.Loopback, 0);
        _server = await ByteStream.StartServerAsync(_relay.ServeAsync, place, options, Soon);
        Own((IAsyncDisposable)_server);
        return _server.EndPoints[0];
    }

    /// <summary>The time goes on until the connection has ended: ten times the limit, so that a busy machine does no harm.</summary>
    private async Task AdvanceUntilEndedAsync(FakeTimeProvider time, string reason)
    {
        for (int seconds = 0; seconds < 20 && !HasEnded(); seconds++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            for (int looks = 0; looks < 100 && !HasEnded(); looks++)
            {
                await Task.Delay(2, Soon);
            }
        }

        Assert.True(HasEnded(), "The connection is still open.");
        await UntilEndedAsync(reason);
    }

    private async Task UntilEndedAsync(string reason)
    {
        await Patience.UntilAsync(HasEnded);
        Assert.Contains($"ended: {reason}.", Assert.Single(_log.GetSnapshot(), record => record.Id.Id == 700).Message, StringComparison.Ordinal);
    }

    private bool HasEnded() => _log.GetSnapshot().Any(record => record.Id.Id == 700);

    /// <summary>Reads what is there; then the connection ends, one way or another.</summary>
    private async Task AssertEndsAsync(Socket socket)
    {
        socket.Blocking = true;
        byte[] block = new byte[65536];
        Exception? end = await Record.ExceptionAsync(async () =>
        {
            while (await socket.ReceiveAsync(block, Soon) > 0)
            {
            }
        });
        Assert.True(end is null or SocketException { SocketErrorCode: SocketError.ConnectionReset }, end?.ToString());
    }

    private sealed class Metered(ByteStreamMetrics metrics) : IServiceProvider, IDisposable
    {
        public object? GetService(Type serviceType) => serviceType == typeof(ByteStreamMetrics) ? metrics : null;

        public void Dispose() => metrics.Dispose();
    }

    private sealed class Folder(string path) : IDisposable
    {
        public void Dispose() => Directory.Delete(path, recursive: true);
    }
}
