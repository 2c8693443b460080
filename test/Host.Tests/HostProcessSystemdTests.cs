using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using ByteStreams;

namespace StreamsHost.Tests;

/// <summary>The real process as systemd starts it: sockets handed over, and a socket to be told on.</summary>
public sealed class HostProcessSystemdTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamshost-systemd-").FullName;
    private readonly Socket _told = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);

    public HostProcessSystemdTests()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "systemd is Linux's");
        Assert.SkipUnless(File.Exists(Python), "python3 hands the sockets over");
        _told.Bind(new UnixDomainSocketEndPoint(NotifyPath));
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private static string Python => "/usr/bin/python3";

    private string NotifyPath => Path.Combine(_folder, "notify");

    private string SocketPath => Path.Combine(_folder, "handed-over.sock");

    [Fact(Timeout = 120000)]
    [Trait("Contract", "U2")]
    public async Task Run_SocketsHandedOver_ServesThemAndLeavesTheFile()
    {
        await using HostProcess host = Activate(["web=tcp", $"app={SocketPath}"], [], Endpoint("tcp", "fd:web"), Endpoint("unix", "fd:app"));
        await host.WaitUntilUpAsync(5);

        await using (ByteStreamConnection tcp = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("tcp"), cancellationToken: Cancel))
        await using (ByteStreamConnection unix = await ByteStream.OpenUnixConnectionAsync(SocketPath, cancellationToken: Cancel))
        {
            await AnswersAsync(tcp);
            await AnswersAsync(unix);
        }

        host.Signal(PosixSignal.SIGTERM);
        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
        Assert.True(File.Exists(SocketPath));
    }

    [Fact(Timeout = 120000)]
    public async Task Run_TwoSocketsOfOneName_AreOneEndpoint()
    {
        await using HostProcess host = Activate(["app=tcp", $"app={SocketPath}"], [], Endpoint("both", "fd:app"));

        // The endpoints of HostProcess, and the first address of this one.
        await host.WaitUntilUpAsync(4);

        await using ByteStreamConnection tcp = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("both"), cancellationToken: Cancel);
        await using ByteStreamConnection unix = await ByteStream.OpenUnixConnectionAsync(SocketPath, cancellationToken: Cancel);
        await AnswersAsync(tcp);
        await AnswersAsync(unix);
    }

    [Theory(Timeout = 120000)]
    [InlineData("fd:wbe", null, "No socket named 'wbe' was passed. The names are: web, udp. Use one of them, or FileDescriptorName=wbe in the socket unit.")]
    [InlineData("fd:udp", null, "'fd:udp' is not a listening stream socket. The socket unit needs ListenStream= for it, and Accept=no.")]
    [InlineData("fd:web", "1", "'fd:web' cannot be used: the sockets were passed to another process (LISTEN_PID is 1, this is ")]
    public async Task Run_NoSuchSocket_ExitsWithOneClearMessage(string url, string? processId, string expected)
    {
        await using HostProcess host = Activate(["web=tcp", "udp=datagram"], processId is null ? [] : [$"ACTIVATE_PID={processId}"], Endpoint("a", url));

        (int exitCode, string errors) = await host.WaitForExitAsync();

        Assert.Equal(1, exitCode);
        Assert.StartsWith($"ByteStreams:Endpoints:a:Url: {expected}", Assert.Single(errors.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Run_NothingHandedOver_ExitsWithOneClearMessage()
    {
        await using HostProcess host = HostProcess.Start(Endpoint("a", "fd:web"), "--ByteStreams:Endpoints:a:Handler=echo");

        (int exitCode, string errors) = await host.WaitForExitAsync();

        Assert.Equal(1, exitCode);
        Assert.StartsWith("ByteStreams:Endpoints:a:Url: 'fd:web' is a socket that the program's parent passes, and none was passed (LISTEN_FDS is not set).", errors, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Run_NotifySocket_ReceivesEachState()
    {
        await using HostProcess host = HostProcess.StartUnder(
            ["/usr/bin/env", $"NOTIFY_SOCKET={NotifyPath}", "WATCHDOG_USEC=200000"], "--ByteStreams:DrainDelay=1s", "--ByteStreams:DrainTimeout=20s");
        Assert.Equal("READY=1\nSTATUS=Serving chat, echo, echo-unix", await ToldAsync());
        await host.WaitUntilUpAsync();

        // Twice within the time that systemd gives.
        Assert.Equal("WATCHDOG=1", await ToldAsync());
        Assert.Equal("WATCHDOG=1", await ToldAsync());

        host.Signal(PosixSignal.SIGHUP);
        string[] reloading = (await ToldAsync(butWatchdog: true)).Split('\n');
        Assert.Equal("RELOADING=1", reloading[0]);
        long monotonic = long.Parse(reloading[1]["MONOTONIC_USEC=".Length..], CultureInfo.InvariantCulture);
        Assert.InRange(Environment.TickCount64 - (monotonic / 1000), -1000, 30_000);
        Assert.StartsWith("READY=1\n", await ToldAsync(butWatchdog: true), StringComparison.Ordinal);

        // The drain's time and what the host's other services have behind it.
        host.Signal(PosixSignal.SIGTERM);
        Assert.Equal("STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC=31000000", await ToldAsync(butWatchdog: true));
        Assert.Equal("WATCHDOG=1", await ToldAsync());
        Task told = ToldAsync(butWatchdog: true);
        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
        Assert.False(told.IsCompleted);
    }

    [Fact(Timeout = 120000)]
    public async Task Drain_AnOperatorBeginsIt_StatusFollowsItAndTheProcessStays()
    {
        await using HostProcess host = HostProcess.StartUnder(["/usr/bin/env", $"NOTIFY_SOCKET={NotifyPath}"], "--Admin:AllowChanges=true");
        Assert.StartsWith("READY=1\n", await ToldAsync(), StringComparison.Ordinal);
        await host.WaitUntilUpAsync();
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("echo"), cancellationToken: Cancel);
        await AnswersAsync(client);

        using var http = new HttpClient();
        using HttpResponseMessage answer = await http.PostAsync(new Uri($"{host.StatusAddresses[0]}/drain"), null, Cancel);
        Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
        Assert.Equal("STATUS=Draining", await ToldAsync());
        Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Cancel));
        client.Writer.Close();
        Assert.Equal("STATUS=Drained", await ToldAsync());

        // It still answers, and a signal ends it.
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(new Uri($"{host.StatusAddresses[0]}/livez"), Cancel)).StatusCode);
        host.Signal(PosixSignal.SIGTERM);
        Assert.StartsWith("STOPPING=1\nSTATUS=Draining\n", await ToldAsync(), StringComparison.Ordinal);
        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
    }

    [Fact(Timeout = 120000)]
    public async Task Run_Watchdog_IsNotifiedTwiceWithinItsTime()
    {
        // So long that a busy machine is not what the test sees.
        await using HostProcess host = HostProcess.StartUnder(["/usr/bin/env", $"NOTIFY_SOCKET={NotifyPath}", "WATCHDOG_USEC=4000000"]);
        Assert.StartsWith("READY=1\n", await ToldAsync(), StringComparison.Ordinal);
        Assert.Equal("WATCHDOG=1", await ToldAsync());
        long began = Stopwatch.GetTimestamp();

        Assert.Equal("WATCHDOG=1", await ToldAsync());

        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(4));
    }

    [Fact(Timeout = 120000)]
    public async Task Run_WatchdogOfAnotherProcess_IsNotNotified()
    {
        await using HostProcess host = HostProcess.StartUnder(["/usr/bin/env", $"NOTIFY_SOCKET={NotifyPath}", "WATCHDOG_USEC=2000", "WATCHDOG_PID=1"]);
        Assert.StartsWith("READY=1\n", await ToldAsync(), StringComparison.Ordinal);
        await host.WaitUntilUpAsync();

        // Many times its time passes meanwhile, of which nothing is told.
        host.Signal(PosixSignal.SIGHUP);
        Assert.StartsWith("RELOADING=1\n", await ToldAsync(), StringComparison.Ordinal);
        Assert.StartsWith("READY=1\n", await ToldAsync(), StringComparison.Ordinal);
        host.Signal(PosixSignal.SIGTERM);
        Assert.StartsWith("STOPPING=1\n", await ToldAsync(), StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Run_NotifySocketIsNotRead_Exits()
    {
        await using HostProcess host = HostProcess.StartUnder(["/usr/bin/env", $"NOTIFY_SOCKET={NotifyPath}", "WATCHDOG_USEC=2000"]);
        await host.WaitForLineAsync("systemd was not notified of WATCHDOG=1: ");

        host.Signal(PosixSignal.SIGTERM);
        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
    }

    [Fact(Timeout = 120000)]
    public async Task Run_NotifySocketIsGone_ServesAllTheSame()
    {
        await using HostProcess host = HostProcess.StartUnder(["/usr/bin/env", $"NOTIFY_SOCKET={NotifyPath}.gone"]);
        await host.WaitForLineAsync("systemd was not notified of READY=1: ");

        host.Signal(PosixSignal.SIGTERM);
        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
    }

    public void Dispose()
    {
        _told.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static string Endpoint(string name, string url) => $"--ByteStreams:Endpoints:{name}:Url={url}";

    private static HostProcess Activate(string[] sockets, string[] environment, params string[] endpoints) => HostProcess.StartUnder(
        ["/usr/bin/env", .. environment, Python, Path.Combine(AppContext.BaseDirectory, "Peers", "activate.py"), .. sockets, "--"],
        [.. endpoints, .. endpoints.Select(endpoint => $"{endpoint.Split(":Url=")[0]}:Handler=echo")]);

    private static async Task AnswersAsync(ByteStreamConnection client)
    {
        client.Writer.Write("there?\n");
        Assert.Equal("there?\n"u8.ToArray(), await client.Reader.ReadExactlyAsync(7, Cancel));
    }

    private async Task<string> ToldAsync(bool butWatchdog = false)
    {
        byte[] datagram = new byte[4096];
        while (true)
        {
            string told = Encoding.UTF8.GetString(datagram, 0, await _told.ReceiveAsync(datagram, Cancel));
            if (!butWatchdog || told != "WATCHDOG=1")
            {
                return told;
            }
        }
    }
}
