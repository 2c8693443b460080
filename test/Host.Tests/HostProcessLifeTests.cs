using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using ByteStreams;
using Microsoft.AspNetCore.Connections;
using StreamsHost.Lifetime;

namespace StreamsHost.Tests;

/// <summary>How the real process ends, and begins again.</summary>
public sealed class HostProcessLifeTests : IDisposable
{
    /// <summary>Many connections at once, as the mission counts them.</summary>
    private const int Many = 200;

    private readonly string _folder = Directory.CreateTempSubdirectory("streamshost-life-").FullName;

    /// <summary>The slow server behind a relay: it answers when the test says so.</summary>
    private readonly Socket _upstream = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    public HostProcessLifeTests()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "signals are those of a Unix system");
        _upstream.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _upstream.Listen(Many);
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F41")]
    public async Task Sigterm_ManyConnectionsMidRequest_NotReadyThenNoNewOnesThenEachReplyWhole_F41()
    {
        await using HostProcess host = HostProcess.Start([.. Relay(), "--ByteStreams:DrainDelay=2s", "--ByteStreams:Endpoints:relay:Relay:DrainQuiet=20s"]);
        await host.WaitUntilUpAsync(4);
        using var http = new HttpClient();
        var ready = new Uri($"{host.StatusAddresses[0]}/readyz");
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(ready, Cancel)).StatusCode);
        List<(ByteStreamConnection Client, Socket Upstream)> open = await OpenManyAsync(host.Port("relay"));

        host.Signal(PosixSignal.SIGTERM);

        // Not ready first, while clients are still accepted and served.
        await host.WaitForLineAsync("Draining: the health check fails");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await http.GetAsync(ready, Cancel)).StatusCode);
        await using (ByteStreamConnection late = await ConnectAsync(host.Port("echo")))
        {
            late.Writer.Write("still served\n");
            Assert.Equal("still served"u8.ToArray(), await late.Reader.ReadExactlyAsync(12, Cancel));
        }

        // Then nobody is accepted; the HTTP side is still there to say so.
        await host.WaitForLineAsync("Draining: listeners closed");
        await UntilRefusedAsync(host.Port("echo"));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await http.GetAsync(ready, Cancel)).StatusCode);

        // And each reply that is in progress is whole, however late it comes.
        byte[] reply = new byte[300_000];
        Random.Shared.NextBytes(reply);
        await Task.WhenAll(open.Select(async pair =>
        {
            await pair.Upstream.SendAsync(reply, Cancel);
            pair.Upstream.Shutdown(SocketShutdown.Send);
            byte[] received = await pair.Client.Reader.ReadAsync(-1, Cancel);
            Assert.True(reply.AsSpan().SequenceEqual(received), $"a reply of {received.Length} bytes is not what was sent");
            await pair.Client.DisposeAsync();
            pair.Upstream.Dispose();
        }));
        // Whoever has the whole reply closes, which may be before its handler is told.
        await AssertEndedAsync(host, exitCode: 0, "relay", Many, "drained", "closed_by_peer");
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F41")]
    public async Task Sigterm_EchoRepliesInProgress_AreWhole_F41()
    {
        await using HostProcess host = HostProcess.Start();
        await host.WaitUntilUpAsync();
        byte[] line = [.. Enumerable.Repeat((byte)'x', 50_000), (byte)'\n'];
        var clients = new List<Socket>();
        for (int i = 0; i < Many; i++)
        {
            var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
            await client.ConnectAsync(IPAddress.Loopback, host.Port("echo"), Cancel);
            clients.Add(client);
        }

        // The handlers are held up in the middle of their replies: nobody reads them.
        await Task.WhenAll(clients.Select(client => client.SendAsync(line, Cancel).AsTask()));
        await Task.WhenAll(clients.Select(async client => await client.ReceiveAsync(new byte[1], SocketFlags.Peek, Cancel)));

        host.Signal(PosixSignal.SIGTERM);

        await host.WaitForLineAsync("Draining: listeners closed");
        await Task.WhenAll(clients.Select(async client =>
        {
            byte[] received = new byte[line.Length];
            var stream = new NetworkStream(client, ownsSocket: true);
            await stream.ReadExactlyAsync(received, Cancel);
            Assert.Equal(line, received);
            Assert.Equal(0, await stream.ReadAsync(received, Cancel));
            await stream.DisposeAsync();
        }));
        await AssertEndedAsync(host, exitCode: 0, "echo", Many, "drained");
    }

    [Fact(Timeout = 600000)]
    [Trait("Fault", "F41")]
    public async Task Sigterm_UnderLoad_NoReplyIsLost_F41()
    {
        int rounds = int.Parse(Environment.GetEnvironmentVariable("BYTESTREAMS_SIGTERMS") ?? "5", CultureInfo.InvariantCulture);
        (long answered, int crossed) = (0, 0);
        for (int i = 0; i < rounds; i++)
        {
            await using HostProcess host = HostProcess.Start();
            await host.WaitUntilUpAsync();
            var load = new Load(host.Port("echo"));
            await load.StartAsync(Many, Cancel);
            await load.AnsweredAsync(Many * 10);

            load.Signalled(() => host.Signal(PosixSignal.SIGTERM));

            await load.EndAsync();
            await AssertEndedAsync(host, exitCode: 0, "echo", Many, "drained");
            answered += load.Answered;
            crossed += load.Crossed;
        }

        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{rounds} signals, {rounds * Many} connections, {answered} replies, none lost; {crossed} requests crossed the end.");
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F42")]
    public async Task Sigterm_HandlersThatIgnoreIt_AreAbortedAtTheDeadlineAndLogged_F42()
    {
        await using HostProcess host = HostProcess.Start([.. Relay(), "--ByteStreams:DrainTimeout=1s", "--ByteStreams:Endpoints:relay:Relay:DrainQuiet=1h"]);
        await host.WaitUntilUpAsync(4);
        List<(ByteStreamConnection Client, Socket Upstream)> open = await OpenManyAsync(host.Port("relay"));

        host.Signal(PosixSignal.SIGTERM);

        await Task.WhenAll(open.Select(async pair =>
        {
            await Assert.ThrowsAsync<ConnectionResetException>(async () => await pair.Client.Reader.ReadAsync(-1, Cancel));
            await pair.Client.DisposeAsync();
            pair.Upstream.Dispose();
        }));
        await host.WaitForLineAsync($"Endpoint relay: {Many} connections did not close by the shutdown deadline and are aborted.");
        await host.WaitForLineAsync("did not close by the shutdown deadline and is aborted. Endpoint relay, handler relay, peer 127.0.0.1:");
        await host.WaitForLineAsync($"Endpoint relay: {Many - 20} more connections are aborted.");
        await host.WaitForLineAsync($"{Many} connections aborted, 0 handlers still running.");
        await AssertEndedAsync(host, exitCode: 2, "relay", Many, "server_shutdown");
    }

    [Theory(Timeout = 120000)]
    [InlineData(PosixSignal.SIGTERM)]
    [InlineData(PosixSignal.SIGINT)]
    [Trait("Fault", "F43")]
    public async Task Signal_ASecondTime_EndsWithinASecond_F43(PosixSignal second)
    {
        await using HostProcess host = HostProcess.Start(
            [.. Relay(), "--ByteStreams:DrainDelay=1h", "--ByteStreams:DrainTimeout=1h", "--ByteStreams:Endpoints:relay:Relay:DrainQuiet=1h"]);
        await host.WaitUntilUpAsync(4);
        List<(ByteStreamConnection Client, Socket Upstream)> open = await OpenManyAsync(host.Port("relay"));
        host.Signal(PosixSignal.SIGTERM);
        await host.WaitForLineAsync("Draining: the health check fails");
        // An earlier one would belong to the first.
        await Task.Delay(2 * EndingSignals.Burst, Cancel);

        host.Signal(second);

        long began = Stopwatch.GetTimestamp();
        // On a machine so busy that aborting takes longer than the second allows, not everybody's line is written.
        Assert.Equal((2, string.Empty), await host.WaitForExitAsync());
        Assert.Equal(["server_shutdown"], host.Ended.Keys.Where(ended => ended.Endpoint == "relay").Select(ended => ended.Reason).DefaultIfEmpty("server_shutdown"));
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, Patience.OnThisMachine(TimeSpan.FromSeconds(1)));
        foreach ((ByteStreamConnection client, Socket upstream) in open)
        {
            client.Writer.Abort();
            upstream.Dispose();
        }
    }

    [Fact(Timeout = 120000)]
    public async Task Sigterm_DuringTheStart_ExitsWithCodeZeroAndReleasesAll()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/strace"), "strace (Debian: strace) holds up the start.");
        string first = Path.Combine(_folder, "first.sock");
        // As a grandchild, so that the child is the host. The first endpoint is bound, and begins to listen two seconds later.
        await using HostProcess host = HostProcess.StartUnder(
            ["/usr/bin/strace", "-D", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=listen", "-e", "inject=listen:delay_enter=2000000:when=1"],
            $"--ByteStreams:Endpoints:a:Url=unix:{first}",
            "--ByteStreams:Endpoints:a:Handler=echo");
        await Patience.UntilAsync(() => File.Exists(first));

        host.Signal(PosixSignal.SIGTERM);

        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
        Assert.False(File.Exists(first), "the endpoint's socket file is left behind");
        Assert.False(File.Exists(host.SocketPath), "the second endpoint was started all the same");
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F44")]
    public async Task Sigkill_ThenStartedAgain_ServesWithinTwoSeconds_F44()
    {
        string path = Path.Combine(_folder, "again.sock");
        int port = FreePort();
        string[] arguments = [$"--ByteStreams:Endpoints:echo:Url=tcp://127.0.0.1:{port}", $"--ByteStreams:Endpoints:echo-unix:Url=unix:{path}"];
        var times = new List<TimeSpan>();

        // The first has nothing in its way; of the others, the best counts.
        for (int i = 0; i < 6; i++)
        {
            long began = Stopwatch.GetTimestamp();
            await using HostProcess host = HostProcess.Start(arguments);
            await host.WaitUntilUpAsync();
            await using ByteStreamConnection tcp = await ConnectAsync(port);
            await using ByteStreamConnection unix = await ByteStream.OpenUnixConnectionAsync(path, cancellationToken: Cancel);
            await AnswersAsync(tcp);
            await AnswersAsync(unix);
            times.Add(Stopwatch.GetElapsedTime(began));

            // Its end of the port lingers in the kernel, and its socket's file stays.
            await host.KillAsync();
            Assert.True(File.Exists(path));
        }

        Assert.InRange(times.Skip(1).Min(), TimeSpan.Zero, Patience.OnThisMachine(TimeSpan.FromSeconds(2)));
        TestContext.Current.TestOutputHelper?.WriteLine($"Serving after {string.Join(", ", times.Select(time => $"{time.TotalMilliseconds:0} ms"))}.");
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F46")]
    public async Task Sighup_ConfigurationChanged_IsAppliedAndConnectionsStay_F46()
    {
        string file = Path.Combine(_folder, "appsettings.json");
        await File.WriteAllTextAsync(file, Configuration("echo"), Cancel);
        await using HostProcess host = HostProcess.StartAlone("--config", file, "--Admin:Url=http://127.0.0.1:0");
        await host.WaitUntilUpAsync(2);
        int sockets = host.Sockets;
        await using ByteStreamConnection open = await ConnectAsync(host.Port("a"));
        await AnswersAsync(open);
        // On an endpoint that nobody touches.
        await using ByteStreamConnection quiet = await ConnectAsync(host.Port("quiet"));
        await AnswersAsync(quiet);

        // Broken: what runs goes on.
        await File.WriteAllTextAsync(file, "{", Cancel);
        host.Signal(PosixSignal.SIGHUP);
        await host.WaitForLineAsync("SIGHUP: the configuration cannot be read; keeping the running configuration: ");
        await AnswersAsync(open);

        await File.WriteAllTextAsync(file, Configuration("nobody"), Cancel);
        host.Signal(PosixSignal.SIGHUP);
        await host.WaitForLineAsync("SIGHUP: configuration reload rejected with 1 errors, which are logged; keeping the running configuration.");

        await File.WriteAllTextAsync(file, Configuration("discard"), Cancel);
        host.Signal(PosixSignal.SIGHUP);
        await host.WaitForLineAsync("SIGHUP: configuration and certificates reloaded; endpoints added 0, removed 0, changed 1.");
        await AnswersAsync(open);
        await using (ByteStreamConnection fresh = await ConnectAsync(host.Port("a")))
        {
            fresh.Writer.Write("nobody answers\n");
            fresh.Writer.WriteEof();
            Assert.Empty(await fresh.Reader.ReadAsync(cancellationToken: Cancel));
        }

        await AnswersAsync(quiet);
        await open.DisposeAsync();
        await quiet.DisposeAsync();
        await host.WaitForSummariesAsync(3);
        await Patience.UntilAsync(() => host.Sockets, now => now <= sockets);

        long began = Stopwatch.GetTimestamp();
        await using (ByteStreamConnection canary = await ConnectAsync(host.Port("quiet")))
        {
            await AnswersAsync(canary);
            Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, Patience.OnThisMachine(TimeSpan.FromSeconds(1)));
        }

        await host.WaitForSummariesAsync(4);
        host.Signal(PosixSignal.SIGTERM);
        await AssertEndedAsync(host, exitCode: 0, "quiet", 2, "closed_by_peer");
        Assert.Equal(2, host.Ended[("a", "closed_by_peer")]);
    }

    public void Dispose()
    {
        _upstream.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static string Configuration(string handler) =>
        $$"""{ "ByteStreams": { "Endpoints": { "a": { "Url": "tcp://127.0.0.1:0", "Handler": "{{handler}}" }, "quiet": { "Url": "tcp://127.0.0.1:0", "Handler": "echo" } } } }""";

    /// <summary>What a process leaves behind: its exit code, no error, no socket's file, and one summary line for each connection of an endpoint.</summary>
    private static async Task AssertEndedAsync(HostProcess host, int exitCode, string endpoint, int connections, params string[] reasons)
    {
        Assert.Equal((exitCode, string.Empty), await host.WaitForExitAsync());
        var ended = host.Ended.Where(pair => pair.Key.Endpoint == endpoint).ToList();
        Assert.Subset(reasons.ToHashSet(), ended.Select(pair => pair.Key.Reason).ToHashSet());
        Assert.Equal(connections, ended.Sum(pair => pair.Value));
        Assert.False(File.Exists(host.SocketPath), "the socket's file is left behind");
    }

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    private static async Task AnswersAsync(ByteStreamConnection client)
    {
        client.Writer.Write("there?\n");
        Assert.Equal("there?\n"u8.ToArray(), await client.Reader.ReadExactlyAsync(7, Cancel));
    }

    private static Task<ByteStreamConnection> ConnectAsync(int port) => ByteStream.OpenConnectionAsync("127.0.0.1", port, cancellationToken: Cancel);

    /// <summary>Log lines are read behind what they tell of; a client that comes between is served, or reset.</summary>
    private static async Task UntilRefusedAsync(int port)
    {
        while (true)
        {
            using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                await client.ConnectAsync(IPAddress.Loopback, port, Cancel);
            }
            catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionRefused)
            {
                return;
            }
            catch (SocketException error)
            {
                Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
            }
        }
    }

    private string[] Relay() =>
    [
        "--ByteStreams:Endpoints:relay:Url=tcp://127.0.0.1:0",
        "--ByteStreams:Endpoints:relay:Handler=relay",
        $"--ByteStreams:Endpoints:relay:Relay:Upstreams=tcp://{_upstream.LocalEndPoint}",
    ];

    /// <summary>Connections whose request has arrived at the upstream, which has not answered.</summary>
    private async Task<List<(ByteStreamConnection Client, Socket Upstream)>> OpenManyAsync(int port)
    {
        var open = new List<(ByteStreamConnection, Socket)>();
        for (int i = 0; i < Many; i++)
        {
            ByteStreamConnection client = await ConnectAsync(port);
            client.Writer.Write("request\n");
            Socket upstream = await _upstream.AcceptAsync(Cancel);
            byte[] request = new byte[8];
            await new NetworkStream(upstream).ReadExactlyAsync(request, Cancel);
            Assert.Equal("request\n"u8.ToArray(), request);
            open.Add((client, upstream));
        }

        return open;
    }
}
