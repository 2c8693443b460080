using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Testing;
using ByteStreams.Transport;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>F60: upstreams that cannot be connected to.</summary>
public sealed class RelayConnectTests : RelayTest
{
    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_FirstUpstreamsRefuse_TheNextServes_F60()
    {
        string url = await ServeUpstreamAsync("tcp", Echo);
        var options = new RelayOptions
        {
            LoadBalancing = LoadBalancing.RoundRobin,
            Upstreams = { $"tcp://127.0.0.1:{RefusingPort()}", $"unix:{FolderPath}/nobody.sock", url },
        };
        ILoggerFactory loggers = LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Debug).AddProvider(new FakeLoggerProvider(Log)));
        ByteStreamRelay relay = Own(new ByteStreamRelay(options, loggers));
        EndPoint endPoint = await StartAsync("tcp", relay.ServeAsync, new ByteStreamServerOptions(), null);

        Assert.Equal("hello\n", await AskAsync(await ConnectAsync("tcp", endPoint), "hello\n"));
        Assert.Equal(2, Log.GetSnapshot().Count(record => record.Id.Id == 656));
        // Who could not be reached has no connection.
        Assert.Equal([0, 0, 1], relay.Upstreams.All.Select(upstream => upstream.Active));
    }

    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_NoUpstreamCanBeReached_ClientIsResetWithTheReason_F60()
    {
        int port = RefusingPort();
        EndPoint endPoint = await RelayAsync("tcp", relay =>
        {
            relay.Upstreams.Add($"tcp://127.0.0.1:{port}");
            relay.Upstreams.Add("tcp://no-such-host.invalid:1");
            relay.Upstreams.Add($"unix:{FolderPath}/nobody.sock");
        });

        await AssertRefusedAsync(endPoint);

        await AssertEndedAsync("upstream_unavailable");
        FakeLogRecord line = Assert.Single(Log.GetSnapshot(), record => record.Id.Id == 650);
        Assert.Equal(LogLevel.Information, line.Level);
        Assert.Contains($"tcp://127.0.0.1:{port}: ", line.Message, StringComparison.Ordinal);
        Assert.Contains("tcp://no-such-host.invalid:1: The host 'no-such-host.invalid' cannot be resolved", line.Message, StringComparison.Ordinal);
        Assert.Contains($"unix:{FolderPath}/nobody.sock: ", line.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_MoreUpstreamsThanRetries_StopsAfterTheRetries_F60()
    {
        EndPoint endPoint = await RelayAsync("tcp", relay =>
        {
            relay.Retries = 1;
            for (int i = 0; i < 4; i++)
            {
                relay.Upstreams.Add($"unix:{FolderPath}/nobody-{i}.sock");
            }
        });

        await AssertRefusedAsync(endPoint);

        await AssertEndedAsync("upstream_unavailable");
        Assert.Equal(2, Log.GetSnapshot().Count(record => record.Id.Id == 656));
    }

    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_UpstreamTakesTooLong_TheNextServesAfterTheConnectTimeout_F60()
    {
        var time = new FakeTimeProvider();
        // It accepts, and never says a word of its handshake.
        string silent = await ServeUpstreamAsync("tcp", (reader, _, stopping) => reader.ReadAsync(cancellationToken: stopping).AsTask());
        string url = await ServeUpstreamAsync("tls", Echo);
        EndPoint endPoint = await RelayAsync("tcp", relay =>
        {
            relay.LoadBalancing = LoadBalancing.RoundRobin;
            relay.ConnectTimeout = TimeSpan.FromSeconds(5);
            relay.Upstreams.Add(silent.Replace("tcp:", "tls:", StringComparison.Ordinal));
            relay.Upstreams.Add(url);
            relay.Connection.TimeProvider = time;
        });

        Task<string> answer = AskAsync(await ConnectAsync("tcp", endPoint), "hello\n");
        await AdvanceUntilAsync(time, () => Log.GetSnapshot().Any(record => record.Id.Id == 656));
        Assert.Equal("hello\n", await answer);
        Assert.Contains("connect timed out after 5 s", Assert.Single(Log.GetSnapshot(), record => record.Id.Id == 656).Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_UnixUpstreamsBacklogIsFull_TheNextServesAfterTheConnectTimeout_F60()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "elsewhere a full backlog refuses");
        var time = new FakeTimeProvider();
        string path = Path.Combine(FolderPath, "busy.sock");
        using var busy = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        busy.Bind(new UnixDomainSocketEndPoint(path));
        busy.Listen(0);
        using var filler = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        filler.Connect(new UnixDomainSocketEndPoint(path));
        string url = await ServeUpstreamAsync("tcp", Echo);
        EndPoint endPoint = await RelayAsync("tcp", relay =>
        {
            relay.LoadBalancing = LoadBalancing.RoundRobin;
            relay.ConnectTimeout = TimeSpan.FromSeconds(5);
            relay.Upstreams.Add($"unix:{path}");
            relay.Upstreams.Add(url);
            relay.Connection.TimeProvider = time;
        });

        Task<string> answer = AskAsync(await ConnectAsync("tcp", endPoint), "hello\n");
        await AdvanceUntilAsync(time, () => Log.GetSnapshot().Any(record => record.Id.Id == 656));

        Assert.Equal("hello\n", await answer);
        Assert.Contains("connect timed out after 5 s", Assert.Single(Log.GetSnapshot(), record => record.Id.Id == 656).Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_UpstreamFailsRepeatedly_IsEjectedAndReadmitted_F60()
    {
        var time = new FakeTimeProvider();
        string path = Path.Combine(FolderPath, "late.sock");
        string url = await ServeUpstreamAsync("tcp", Echo);
        EndPoint endPoint = await RelayAsync("tcp", relay =>
        {
            relay.LoadBalancing = LoadBalancing.RoundRobin;
            relay.EjectAfter = 2;
            relay.Upstreams.Add($"unix:{path}");
            relay.Upstreams.Add(url);
            relay.Connection.TimeProvider = time;
        });
        for (int i = 0; i < 8; i++)
        {
            Assert.Equal("x\n", await AskAsync(await ConnectAsync("tcp", endPoint), "x\n"));
        }

        Assert.Equal(2, Log.GetSnapshot().Count(record => record.Id.Id == 656));
        Assert.Contains("ejected for 10 s after 2 consecutive connect failures", Assert.Single(Log.GetSnapshot(), record => record.Id.Id == 651).Message, StringComparison.Ordinal);

        await ServeUpstreamAsync("unix", Echo, path);
        time.Advance(TimeSpan.FromSeconds(10));
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal("x\n", await AskAsync(await ConnectAsync("tcp", endPoint), "x\n"));
        }

        Assert.Single(Log.GetSnapshot(), record => record.Id.Id == 652);
    }

    /// <summary>Of the two clocks none goes on: what waits for the linger of the refused connection waits for ever.</summary>
    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_CertificateIsRefusedAndTheUpstreamStays_TheNextServesAtOnceAndNothingIsLeft_F60()
    {
        var time = new FakeTimeProvider();
        using var stranger = new AuthorityFiles();
        (string refused, Task<Socket> accepted) = RefusedUpstream(stranger);
        string url = await ServeUpstreamAsync("tcp", Echo);
        ByteStreamServer? server = null;
        EndPoint endPoint = await RelayAsync(
            "tcp",
            relay =>
            {
                relay.LoadBalancing = LoadBalancing.RoundRobin;
                relay.Upstreams.Add(refused);
                relay.Upstreams.Add(url);
                relay.Connection.TimeProvider = time;
            },
            started => server = started);

        ByteStreamConnection client = await ConnectAsync("tcp", endPoint);
        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
        Assert.Contains("certificate", Assert.Single(Log.GetSnapshot(), record => record.Id.Id == 656).Message, StringComparison.Ordinal);
        client.Writer.Close();
        await AssertEndedAsync("closed_by_peer");

        DrainReport report = await server!.StopAsync(Timeout.InfiniteTimeSpan, Soon);

        Assert.Equal((0, 0), (report.Aborted, report.LeftBehind));
        (await accepted.WaitAsync(Soon)).Dispose();
    }

    [Fact]
    public async Task OpenConnection_CertificateIsRefusedAndThePeerStays_FailsAtOnce()
    {
        using var stranger = new AuthorityFiles();
        (string refused, Task<Socket> accepted) = RefusedUpstream(stranger);
        var options = new ByteStreamClientOptions
        {
            TimeProvider = new FakeTimeProvider(),
            Tls = new TlsClientOptions { CaPath = Authority.CaPath, ServerName = "localhost" }.CreateAuthenticationOptions(),
        };

        await Assert.ThrowsAsync<AuthenticationException>(
            () => ByteStream.OpenConnectionAsync(new IPEndPoint(IPAddress.Loopback, new Uri(refused).Port), options, Soon));

        (await accepted.WaitAsync(Soon)).Dispose();
    }

    [Fact]
    [Trait("Fault", "F72")]
    public async Task Relay_NoDescriptorForTheUpstream_ClientsAreRefusedAndTheUpstreamStaysAvailable_F72()
    {
        string url = await ServeUpstreamAsync("tcp", Echo);
        EndPoint endPoint = await RelayAsync("tcp", relay =>
        {
            relay.EjectAfter = 1;
            relay.Upstreams.Add(url);
            relay.Connection.Descriptors = new DescriptorLimit(0);
        });

        await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => AssertRefusedAsync(endPoint)));

        await Patience.UntilAsync(() => Log.GetSnapshot().Count(record => record.Message.Contains("ended: refused_descriptors", StringComparison.Ordinal)), now => now == 5);
        Assert.DoesNotContain(Log.GetSnapshot(), record => record.Id.Id is 650 or 651 or 656);
        Assert.InRange(Log.GetSnapshot().Count(record => record.Id.Id == 658), 1, 5);
    }

    /// <summary>An upstream whose certificate is of another authority, and which keeps its side open when that is refused.</summary>
    private (string Url, Task<Socket> Accepted) RefusedUpstream(AuthorityFiles authority)
    {
        Socket listening = Own(new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        listening.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listening.Listen();
        return ($"tls://localhost:{((IPEndPoint)listening.LocalEndPoint!).Port}", AcceptAsync());

        async Task<Socket> AcceptAsync()
        {
            TlsCertificateOptions files = authority.Write("localhost");
            using X509Certificate2 read = X509Certificate2.CreateFromPemFile(files.Path!, files.KeyPath);
            Socket accepted = await listening.AcceptAsync(Soon);
            var tls = new SslStream(new NetworkStream(accepted, ownsSocket: false), leaveInnerStreamOpen: true);
            _ = await Record.ExceptionAsync(() => tls.AuthenticateAsServerAsync(read));
            return accepted;
        }
    }
}
