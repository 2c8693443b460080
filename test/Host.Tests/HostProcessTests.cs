using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using ByteStreams;
using ByteStreams.Transport;

namespace StreamsHost.Tests;

public class HostProcessTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task Run_ShippedHandlers_AnnouncesAndServes()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "signals need a Unix system");
        await using HostProcess host = HostProcess.Start();
        await host.WaitUntilUpAsync();

        Assert.EndsWith($"connect with: nc 127.0.0.1 {host.Port("echo")}", host.Announced["echo"], StringComparison.Ordinal);
        Assert.EndsWith($"connect with: nc -U {host.SocketPath}", host.Announced["echo-unix"], StringComparison.Ordinal);
        await using (ByteStreamConnection tcp = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("echo"), cancellationToken: Cancel))
        await using (ByteStreamConnection unix = await ByteStream.OpenUnixConnectionAsync(host.SocketPath, cancellationToken: Cancel))
        await using (ByteStreamConnection chat = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("chat"), cancellationToken: Cancel))
        {
            foreach (ByteStreamConnection connection in (ByteStreamConnection[])[tcp, unix, chat])
            {
                connection.Writer.Write("hello\n");
                Assert.Equal("hello\n"u8.ToArray(), await connection.Reader.ReadLineAsync(Cancel));
            }
        }

        host.Signal(PosixSignal.SIGTERM);
        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
        Assert.False(File.Exists(host.SocketPath), "the socket's file is left behind");
    }

    [Theory(Timeout = 120000)]
    [InlineData(PosixSignal.SIGTERM)]
    [InlineData(PosixSignal.SIGINT)]
    public async Task Signal_ClientConnected_GetsItsReplyAndTheEnd(PosixSignal signal)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "signals need a Unix system");
        await using HostProcess host = HostProcess.Start();
        await host.WaitUntilUpAsync();
        await using ByteStreamConnection idle = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("echo"), cancellationToken: Cancel);
        idle.Writer.Write("one\n");
        Assert.Equal("one\n"u8.ToArray(), await idle.Reader.ReadLineAsync(Cancel));

        host.Signal(signal);

        Assert.Empty(await idle.Reader.ReadAsync(cancellationToken: Cancel));
        idle.Writer.Close();
        Assert.Equal(0, (await host.WaitForExitAsync()).ExitCode);
    }

    [Theory(Timeout = 120000)]
    [Trait("Fault", "F45")]
    [InlineData("--ByteStreams:Endpoints:echo:Url=tcp://x", "ByteStreams:Endpoints:echo:Url: 'tcp://x' has no port.")]
    [InlineData("--ByteStreams:Endpoints:echo:Url=http://x:1", "ByteStreams:Endpoints:echo:Url: 'http://x:1' has no known scheme.")]
    [InlineData("--ByteStreams:Endpoints:echo:Handler=ecko", "ByteStreams:Endpoints:echo:Handler: there is no handler 'ecko'.")]
    [InlineData("--ByteStreams:Endpoints:echo:Lmit=1", "ByteStreams:Endpoints:echo:Lmit: there is no such key. Did you mean 'Limit'?")]
    [InlineData("--ByteStreams:Endpoints:echo-unix:Url=unix:/no/such/directory/x", "ByteStreams:Endpoints:echo-unix:Url: The Unix socket '/no/such/directory/x' cannot be bound: there is no directory")]
    [InlineData("--ByteStreams:Endpoints:echo-unix:Url=unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ByteStreams:Endpoints:echo-unix:Url: The Unix socket path")]
    public async Task Run_Misconfigured_ExitsWithOneClearMessage(string argument, string message)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the messages are those of a Unix system");
        await using HostProcess host = HostProcess.Start(argument);

        (int exitCode, string errors) = await host.WaitForExitAsync();

        Assert.Equal(1, exitCode);
        Assert.StartsWith(message, Assert.Single(errors.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F45")]
    public async Task Run_PortInUse_ExitsWithOneClearMessage()
    {
        await using ByteStreamServer taken = await ByteStream.StartServerAsync((_, _) => Task.CompletedTask, "127.0.0.1", 0, cancellationToken: Cancel);
        await using HostProcess host = HostProcess.Start($"--ByteStreams:Endpoints:echo:Url=tcp://{taken.EndPoints[0]}");

        (int exitCode, string errors) = await host.WaitForExitAsync();

        Assert.Equal(1, exitCode);
        string line = Assert.Single(errors.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith($"ByteStreams:Endpoints:echo:Url: {taken.EndPoints[0]} cannot be bound: the port is already in use.", line, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F45")]
    public async Task Run_PrivilegedPort_ExitsWithOneClearMessage()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && File.Exists("/usr/bin/setpriv"), "setpriv (Debian: util-linux) takes the privilege away");
        Assert.SkipUnless((await File.ReadAllTextAsync("/proc/sys/net/ipv4/ip_unprivileged_port_start", Cancel)).Trim() == "1024", "the system lets everybody have such ports");
        await using HostProcess host = HostProcess.StartUnder(
            Environment.IsPrivilegedProcess ? ["/usr/bin/setpriv", "--bounding-set=-net_bind_service"] : [], "--ByteStreams:Endpoints:echo:Url=tcp://127.0.0.1:1007");

        (int exitCode, string errors) = await host.WaitForExitAsync();

        Assert.Equal(1, exitCode);
        Assert.Equal(
            "ByteStreams:Endpoints:echo:Url: 127.0.0.1:1007 cannot be bound: permission is denied. Ports below 1024 usually need a privilege (CAP_NET_BIND_SERVICE); use a higher one.",
            errors.TrimEnd());
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F45")]
    public async Task Run_ErrorsOfEachKind_ReportsThemAllAtOnce()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the messages are those of a Unix system");
        await using ByteStreamServer taken = await ByteStream.StartServerAsync((_, _) => Task.CompletedTask, "127.0.0.1", 0, cancellationToken: Cancel);
        const string endpoints = "ByteStreams:Endpoints";
        await using HostProcess host = HostProcess.Start(
            $"--{endpoints}:echo:Url=tcp://{taken.EndPoints[0]}",
            $"--{endpoints}:chat:Handler=caht",
            $"--{endpoints}:chat:Lmit=4096",
            $"--{endpoints}:bad:Url=tcp://x",
            $"--{endpoints}:bad:Timeouts:ReceiveIdle=5",
            $"--{endpoints}:secure:Url=tls://127.0.0.1:0",
            $"--{endpoints}:secure:Handler=echo",
            $"--{endpoints}:secure:Tls:Certificates:0:Path=/no/such/tls.crt",
            $"--{endpoints}:secure:Tls:ClientCertificates=Require",
            $"--{endpoints}:secure:Access:Allow=10.0.0.0/33,::1,nowhere");

        (int exitCode, string errors) = await host.WaitForExitAsync();

        Assert.Equal(1, exitCode);
        string[] expected =
        [
            $"{endpoints}:bad:Handler: is missing.",
            $"{endpoints}:bad:Timeouts:ReceiveIdle: '5' ",
            $"{endpoints}:bad:Url: 'tcp://x' has no port.",
            $"{endpoints}:chat:Handler: there is no handler 'caht'.",
            $"{endpoints}:chat:Lmit: there is no such key. Did you mean 'Limit'?",
            $"{endpoints}:echo:Url: {taken.EndPoints[0]} cannot be bound: the port is already in use.",
            $"{endpoints}:secure:Access:Allow: '10.0.0.0/33' is no network.",
            $"{endpoints}:secure:Access:Allow: 'nowhere' is no network.",
            $"{endpoints}:secure:Tls:Certificates:0: /no/such/tls.crt cannot be used: ",
            $"{endpoints}:secure:Tls:ClientCertificates is Require and requires ClientCaPath",
        ];
        string[] lines = [.. errors.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal)];
        Assert.Equal(expected.Length, lines.Length);
        Assert.All(expected.Zip(lines), pair => Assert.StartsWith(pair.First, pair.Second, StringComparison.Ordinal));
    }

    [Theory(Timeout = 120000)]
    [InlineData(150)]
    [InlineData(200)]
    public async Task Run_TooFewDescriptors_IsReportedInOneLine(int limit)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && File.Exists("/usr/bin/prlimit"), "prlimit (Debian: util-linux) sets the limit");
        await using HostProcess host = HostProcess.StartUnder(["/usr/bin/prlimit", $"--nofile={limit}"]);

        Assert.Equal(
            (1, $"The limit of {limit} open descriptors is too low: at least 256 are needed. Raise the hard limit (ulimit -n, LimitNOFILE=, docker run --ulimit nofile=).\n"),
            await host.WaitForExitAsync());
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F73")]
    public async Task Start_LittleMemory_LogsTheConnectionsThatItIsEnoughFor()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && DescriptorLimit.Process.Most > 8192, "As many connections need descriptors (ulimit -n).");
        // 48 MiB in hexadecimal, as the runtime has it: what it takes of a container of 64 MiB.
        await using HostProcess host = HostProcess.StartUnder(["/usr/bin/env", "DOTNET_GCHeapHardLimit=3000000"]);
        await host.WaitForLineAsync("All endpoints together take 6144 connections: derived from the limit of ");
        await host.WaitUntilUpAsync();
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F11")]
    public async Task Accept_DescriptorsExhausted_ResetsTheNextAndServesWhenSomeAreFree()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && File.Exists("/usr/bin/prlimit"), "prlimit (Debian: util-linux) sets the limit");
        await using HostProcess host = HostProcess.StartUnder(
            ["/usr/bin/prlimit", "--nofile=400"],
            // The default limit leaves room for what a process needs beside connections, and Native AOT needs less of it.
            "--ByteStreams:MaxConnections=0");
        await host.WaitUntilUpAsync();
        var clients = new List<Socket>();
        try
        {
            for (int i = 0; i < 600; i++)
            {
                await TryAsync(client => client.ConnectAsync(IPAddress.Loopback, host.Port("echo"), Cancel).AsTask());
            }

            await host.WaitForLineAsync("because nearly all of the process's 400 descriptors are in use");
            Assert.False(await TryAsync(async client =>
            {
                await client.ConnectAsync(IPAddress.Loopback, host.Port("echo"), Cancel);
                await client.ReceiveAsync(new byte[1], Cancel);
            }));

            clients.GetRange(0, 500).ForEach(client => client.Dispose());
            byte[] answer = new byte[13];
            while (!await TryAsync(async client =>
            {
                await client.ConnectAsync(IPAddress.Loopback, host.Port("echo"), Cancel);
                await client.SendAsync("now accepted\n"u8.ToArray(), Cancel);
                await new NetworkStream(client).ReadExactlyAsync(answer, Cancel);
            }))
            {
                await Task.Delay(10, Cancel);
            }

            Assert.Equal("now accepted\n"u8.ToArray(), answer);
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }

        // A client that is refused at once may meet the reset in any call.
        async Task<bool> TryAsync(Func<Socket, Task> use)
        {
            var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
            clients.Add(client);
            try
            {
                await use(client);
                return true;
            }
            catch (Exception error) when (error is SocketException or IOException { InnerException: SocketException })
            {
                return false;
            }
        }
    }
}
