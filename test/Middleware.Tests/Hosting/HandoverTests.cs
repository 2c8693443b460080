using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using ByteStreams.Contract.Tests.Servers;
using ByteStreams.Server;
using ByteStreams.Testing;
using ByteStreams.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using static ByteStreams.Middleware.Tests.Hosting.ReloadedHost;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>F79: a reload refuses and resets no client of an address that is listened on before and after it.</summary>
[Trait("Fault", "F79")]
public sealed class HandoverTests
{
    private const int Refused = 800;
    private const int Changed = 803;
    private const int Reloads = 40;
    private const int ManyReloads = 200;
    private const int AnsweredAtLeast = 100;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory(Timeout = 240000)]
    [InlineData("Socket")]
    [InlineData("Default")]
    public async Task Reload_200Times_RefusesNoClient_F79(string engine)
    {
        int port = Ports.Free();
        await using ReloadedHost running = await ReloadedHost.StartAsync(
            ("a", "Url", $"tcp://127.0.0.1:{port}"), ("a", "Handler", "echo"), ("a", "Engine", engine));

        await ReloadAsync(running, [new IPEndPoint(IPAddress.Loopback, port)], 1, i => [("a", "Backlog", i % 2 == 0 ? "7" : "512")], times: ManyReloads);
    }

    [Theory(Timeout = 240000)]
    [InlineData("Limit", "1000", "2000")]
    [InlineData("ReceiveBufferSize", "20000", null)]
    [InlineData("KeepAlive", "true", null)]
    [InlineData("ReusePort", "true", "false")]
    [InlineData("EventLoops", "1", "2")]
    [InlineData("Engine", "Socket", null)]
    public async Task Reload_OptionOfTheSocket_RefusesNoClient_F79(string key, string first, string? second)
    {
        int port = Ports.Free();
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", $"tcp://127.0.0.1:{port}"), ("a", "Handler", "echo"));
        SocketListener listener = ListenerOf(running, "a");

        await ReloadAsync(running, [new IPEndPoint(IPAddress.Loopback, port)], 1, i => [("a", key, i % 2 == 0 ? first : second)]);

        Assert.Same(listener, ListenerOf(running, "a"));
    }

    [Theory(Timeout = 240000)]
    [InlineData("127.0.0.1", "0.0.0.0", "127.0.0.1")]
    [InlineData("127.0.0.1", "localhost", "127.0.0.1")]
    [InlineData("127.0.0.1", "[::]", "127.0.0.1")]
    [InlineData("0.0.0.0", "[::]", "127.0.0.1")]
    [InlineData("0.0.0.0", "*", "127.0.0.2")]
    [InlineData("[::1]", "[::]", "::1")]
    public async Task Reload_AnotherAddressOnTheSamePort_RefusesNoClient_F79(string first, string second, string client)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "two sockets share a port there");
        Assert.SkipUnless(Socket.OSSupportsIPv6 || !second.Contains(':', StringComparison.Ordinal), "there is no IPv6");
        int port = Ports.Free();
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", $"tcp://{first}:{port}"), ("a", "Handler", "echo"));

        await ReloadAsync(
            running, [new IPEndPoint(IPAddress.Parse(client), port)], 1, i => [("a", "Url", $"tcp://{(i % 2 == 0 ? second : first)}:{port}")]);

        Assert.Equal(first, running.Servers["a"].EndPoints.Select(endPoint => ((IPEndPoint)endPoint).Address.ToString()).Select(
            address => address.Contains(':', StringComparison.Ordinal) ? $"[{address}]" : address).Single());
    }

    [Fact(Timeout = 240000)]
    public async Task Reload_IPv6Only_RefusesNoClientOfIPv6_F79()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && Socket.OSSupportsIPv6, "it needs IPv6, and two sockets that share a port");
        int port = Ports.Free();
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", $"tcp://[::]:{port}"), ("a", "Handler", "echo"));

        await ReloadAsync(running, [new IPEndPoint(IPAddress.IPv6Loopback, port)], 1, i => [("a", "IPv6Only", i % 2 == 0 ? "true" : "false")]);
    }

    [Theory(Timeout = 240000)]
    [InlineData("tcp", 2)]
    [InlineData("tcp", 3)]
    [InlineData("unix", 2)]
    [InlineData("unix", 3)]
    public async Task Reload_EndpointsExchangeTheirAddresses_RefusesNoClient_F79(string kind, int count)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows() && kind == "unix", "the path is that of a Unix system");
        using var folder = new TemporaryFolder();
        string[] names = [.. Enumerable.Range(0, count).Select(i => $"e{i}")];
        string[] urls = [.. names.Select(name => kind == "tcp" ? $"tcp://127.0.0.1:{Ports.Free()}" : $"unix:{folder.File(name)}")];
        await using ReloadedHost running = await ReloadedHost.StartAsync(
            [.. names.Select((name, i) => (name, "Url", (string?)urls[i])), .. names.Select((name, i) => (name, "Handler", (string?)(i == 0 ? "shout" : "echo")))]);
        EndPoint[] endPoints = [.. names.Select(name => running.Servers[name].EndPoints[0])];

        await ReloadAsync(running, endPoints, count, i => [.. names.Select((name, n) => (name, "Url", (string?)urls[(n + i + 1) % count]))]);

        // As often exchanged as it takes to be another's: the handler goes with the name.
        await using ByteStreamConnection client = await running.ConnectAsync("e0");
        await AnswersAsync(client, "whose", "WHOSE");
        Assert.Equal(endPoints[Reloads % count].ToString(), running.Servers["e0"].EndPoints[0].ToString());
    }

    [Fact(Timeout = 240000)]
    public async Task Reload_EndpointRenamed_RefusesNoClient_F79()
    {
        // The handlers of the endpoint that goes are told to end: a client that it has accepted may see a clean end without an answer.
        int port = Ports.Free();
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", $"tcp://127.0.0.1:{port}"), ("a", "Handler", "echo"));
        const int added = 801;

        await ReloadAsync(
            running, [new IPEndPoint(IPAddress.Loopback, port)], 1,
            i => i % 2 == 0
                ? [("a", "Url", null), ("a", "Handler", null), ("b", "Url", $"tcp://127.0.0.1:{port}"), ("b", "Handler", "echo")]
                : [("b", "Url", null), ("b", "Handler", null), ("a", "Url", $"tcp://127.0.0.1:{port}"), ("a", "Handler", "echo")],
            added,
            unanswered: true);
    }

    [Fact(Timeout = 240000)]
    [UnsupportedOSPlatform("windows")]
    public async Task Reload_UnixSocketsModeAndOptions_RefusesNoClientAndTheFileStays_F79()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "modes are those of a Unix system");
        using var folder = new TemporaryFolder();
        string path = folder.File("s");
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", $"unix:{path}"), ("a", "Handler", "echo"));
        UnixFileMode original = File.GetUnixFileMode(path);
        DateTime created = File.GetLastWriteTimeUtc(path);
        var modes = new HashSet<UnixFileMode>();

        await ReloadAsync(running, [new UnixDomainSocketEndPoint(path)], 1, i =>
        {
            modes.Add(File.GetUnixFileMode(path));
            return [("a", "UnixSocketMode", i % 2 == 0 ? "0666" : null), ("a", "Backlog", i % 2 == 0 ? "7" : "512")];
        });

        const UnixFileMode open = (UnixFileMode)0b110_110_110;
        Assert.Equal(original, File.GetUnixFileMode(path));
        Assert.Equal(new HashSet<UnixFileMode> { original, open }, modes);
        Assert.Equal(created, File.GetLastWriteTimeUtc(path));
    }

    [Fact(Timeout = 240000)]
    public async Task Reload_UnixSocketsFileIsGone_IsBoundAnew_F79()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "an open file cannot be deleted there");
        using var folder = new TemporaryFolder();
        string path = folder.File("s");
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", $"unix:{path}"), ("a", "Handler", "echo"));
        File.Delete(path);

        running.Change(("a", "Backlog", "7"));
        await running.WaitForAsync(Changed);

        await using ByteStreamConnection client = await running.ConnectAsync("a");
        await AnswersAsync(client, "back", "back");
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_TcpToTls_TheListenerStays_F79()
    {
        int port = Ports.Free();
        using var files = new AuthorityFiles();
        TlsCertificateOptions certificate = files.Write("localhost");
        await using ReloadedHost running = await ReloadedHost.StartAsync(
            ("a", "Url", $"tcp://127.0.0.1:{port}"), ("a", "Handler", "echo"),
            ("", "Defaults:Tls:Certificates:0:Path", certificate.Path), ("", "Defaults:Tls:Certificates:0:KeyPath", certificate.KeyPath));
        SocketListener listener = ListenerOf(running, "a");
        await using ByteStreamConnection old = await running.ConnectAsync("a");
        await AnswersAsync(old, "plain", "plain");

        running.Change(("a", "Url", $"tls://127.0.0.1:{port}"));
        await running.WaitForAsync(Changed);

        Assert.Same(listener, ListenerOf(running, "a"));
        await using ByteStreamConnection secret = await ByteStream.OpenConnectionAsync(
            "127.0.0.1", port, new ByteStreamClientOptions { Tls = new TlsClientOptions { CaPath = files.CaPath, ServerName = "localhost" }.CreateAuthenticationOptions() }, Cancel);
        await AnswersAsync(secret, "secret", "secret");
        await AnswersAsync(old, "as before", "as before");
        running.Change(("a", "Url", $"tcp://127.0.0.1:{port}"));
        await running.WaitForAsync(Changed, 2);
        await using ByteStreamConnection plain = await running.ConnectAsync("a");
        await AnswersAsync(plain, "plain again", "plain again");
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_PortThatTheSystemHasChosen_IsKept_F79()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"));
        EndPoint before = running.Servers["a"].EndPoints[0];

        running.Change(("a", "Backlog", "7"));
        await running.WaitForAsync(Changed);

        Assert.Equal(before, running.Servers["a"].EndPoints[0]);
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_OnePortIsTakenByAnotherProgram_NothingChangesAndNoClientIsRefused_F79()
    {
        using var other = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        other.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        other.Listen();
        (int a, int b) = (Ports.Free(), Ports.Free());
        await using ReloadedHost running = await ReloadedHost.StartAsync(
            ("a", "Url", $"tcp://127.0.0.1:{a}"), ("a", "Handler", "echo"), ("b", "Url", $"tcp://127.0.0.1:{b}"), ("b", "Handler", "shout"));
        await using var clients = new ConnectingClients(new IPEndPoint(IPAddress.Loopback, a), new IPEndPoint(IPAddress.Loopback, b));
        ByteStreamServer[] before = [running.Servers["a"], running.Servers["b"]];

        // They exchange their ports, one of them widened, and a third one cannot be bound.
        running.Change(
            ("a", "Url", $"tcp://0.0.0.0:{b}"), ("a", "Backlog", "7"), ("b", "Url", $"tcp://127.0.0.1:{a}"),
            ("c", "Url", $"tcp://{other.LocalEndPoint}"), ("c", "Handler", "echo"));
        await running.WaitForAsync(Refused);

        // Which in this test is this one.
        Assert.Contains("the port is already in use. This program listens on it itself", running.Last(Refused), StringComparison.Ordinal);
        Assert.Equal(before, [running.Servers["a"], running.Servers["b"]]);
        Assert.Equal(512, ListenerOf(running, "a").Options.Backlog);
        await using ByteStreamConnection client = await running.ConnectAsync("b");
        await AnswersAsync(client, "whose", "WHOSE");
        AssertNotShared(b);
        Assert.Empty(await clients.StopAsync());
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_AddressOfAnotherEndpoint_IsNamedAsThisHosts_F79()
    {
        int port = Ports.Free();
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", $"tcp://127.0.0.1:{port}"), ("a", "Handler", "echo"));

        running.Change(("b", "Url", $"tcp://0.0.0.0:{port}"), ("b", "Handler", "echo"));
        await running.WaitForAsync(Refused);

        Assert.EndsWith(
            $"ByteStreams:Endpoints:b:Url: tcp://0.0.0.0:{port} is also the address of the endpoint 'a'. Give each endpoint its own address.",
            running.Last(Refused), StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_AddressNarrowed_OthersAreNotServedAndSoonRefused_F79()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "127.0.0.2 is an address there without further ado");
        int port = Ports.Free();
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", $"tcp://0.0.0.0:{port}"), ("a", "Handler", "echo"));

        running.Change(("a", "Url", $"tcp://127.0.0.1:{port}"));
        await running.WaitForAsync(Changed);

        // Until the listener is closed they are reset, then refused.
        var watch = Stopwatch.StartNew();
        SocketError error = SocketError.Success;
        while (error != SocketError.ConnectionRefused)
        {
            Assert.InRange(watch.Elapsed, TimeSpan.Zero, Deadline);
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                await socket.ConnectAsync(IPAddress.Parse("127.0.0.2"), port, Cancel);
                await socket.SendAsync("x\n"u8.ToArray(), Cancel);
                Assert.Equal(0, await socket.ReceiveAsync(new byte[2], Cancel));
            }
            catch (SocketException refused)
            {
                error = refused.SocketErrorCode;
                Assert.True(error is SocketError.ConnectionRefused or SocketError.ConnectionReset or SocketError.Shutdown, error.ToString());
            }
        }

        // Clients are refused when the socket is closed, which is before the server forgets the listener.
        await Patience.UntilAsync(() => running.Servers["a"].Listeners.Loops.Count == 1);
        await using ByteStreamConnection client = await running.ConnectAsync("a");
        await AnswersAsync(client, "served", "served");
        AssertNotShared(port);
    }

    [Theory(Timeout = 120000)]
    [InlineData("0.0.0.0", true)]
    [InlineData("127.0.0.1", false)]
    public async Task Reload_AddressOfAnEndpointThatWasStartedLater_GoesOnServing_F79(string address, bool samePort)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "two sockets share a port there");
        int port = Ports.Free();
        var source = new MutableSource();
        source.Change([("ByteStreams:Endpoints:a:Url", $"tcp://127.0.0.1:{port}"), ("ByteStreams:Endpoints:a:Handler", "echo")]);
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        var log = new FakeLogCollector();
        builder.Logging.AddProvider(new FakeLoggerProvider(log));
        builder.Configuration.Sources.Add(source);
        builder.Services.AddByteStreams()
            .AddHandler("echo", async (reader, writer, stopping) => writer.Write(await reader.ReadLineAsync(stopping)))
            .ConfigureEndpoint("a", options => options.StartServing = false)
            .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"));
        using IHost host = builder.Build();
        await host.StartAsync(Cancel);
        ByteStreamServers servers = host.Services.GetRequiredService<ByteStreamServers>();
        Assert.False(servers["a"].IsServing);
        await servers["a"].StartServingAsync(Cancel);

        int next = samePort ? port : Ports.Free();
        source.Change([("ByteStreams:Endpoints:a:Url", $"tcp://{address}:{next}")]);
        await Patience.UntilAsync(() => log.GetSnapshot().Any(record => record.Id.Id == Changed));

        Assert.True(servers["a"].IsServing);
        await using (ByteStreamConnection client = await ByteStream.OpenConnectionAsync("127.0.0.1", next, cancellationToken: Cancel))
        {
            await AnswersAsync(client, "served", "served");
        }

        Assert.DoesNotContain(log.GetSnapshot(), record => record.Level >= LogLevel.Warning);
        await host.StopAsync(Cancel);
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_ReceiveBufferChanged_AcceptedSocketsHaveIt_F79()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the kernel doubles what it is given there");
        await using ReloadedHost running = await ReloadedHost.StartAsync(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"));
        Socket listening = ListenerOf(running, "a").Socket;
        int system = listening.ReceiveBufferSize;

        running.Change(("a", "ReceiveBufferSize", "20000"), ("a", "KeepAlive", "true"), ("a", "KeepAliveTime", "7s"), ("a", "Backlog", "7"));
        await running.WaitForAsync(Changed);

        Assert.Equal(40000, listening.ReceiveBufferSize);
        Assert.Equal((1, 7), KeepAlive());
        Assert.Equal(7, BacklogOf(listening));

        running.Change(("a", "ReceiveBufferSize", null), ("a", "KeepAlive", null), ("a", "KeepAliveTime", null), ("a", "Backlog", null));
        await running.WaitForAsync(Changed, 2);

        Assert.Equal(system, listening.ReceiveBufferSize);
        Assert.Equal(0, KeepAlive().IsOn);
        Assert.NotEqual(7, KeepAlive().Seconds);
        Assert.Equal(512, BacklogOf(listening));

        (int IsOn, int Seconds) KeepAlive() => (
            (int)listening.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive)!,
            (int)listening.GetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime)!);
    }

    [Theory(Timeout = 120000)]
    [InlineData(ByteStreamEngine.Default)]
    [InlineData(ByteStreamEngine.Socket)]
    public async Task HandOver_ClientsInTheQueue_AreServedByTheNewServer_F79(ByteStreamEngine engine)
    {
        var options = new ByteStreamServerOptions { Engine = engine };
        ByteStreamServer before = ByteStreamServer.Create((_, writer, _) => AnswerAsync(writer, "before"), options);
        AcceptLoop loop = before.Listeners.Bind(new IPEndPoint(IPAddress.Loopback, 0), ipv6Only: false, shared: false);
        await before.Listeners.ListenAsync();
        await using ByteStreamConnection queued = await ByteStream.OpenConnectionAsync(loop.EndPoint, cancellationToken: Cancel);
        ByteStreamServer after = ByteStreamServer.Create((_, writer, _) => AnswerAsync(writer, "after"), options);

        await after.Listeners.ListenAsync();
        after.Listeners.Adopt(loop);
        before.Listeners.Forget(loop);
        await before.DisposeAsync();
        after.Accept();

        Assert.Equal("after", await queued.Reader.ReadTextLineAsync(cancellationToken: Cancel));
        await after.DisposeAsync();

        static Task AnswerAsync(ByteStreamWriter writer, string line)
        {
            writer.Write(line + "\n");
            return Task.CompletedTask;
        }
    }

    [Fact(Timeout = 120000)]
    public async Task Start_TwoEndpointsOnOneAddress_NamesTheOther_F79()
    {
        int port = Ports.Free();
        EndpointConfigurationException errors = await Assert.ThrowsAsync<EndpointConfigurationException>(() => ReloadedHost.StartAsync(
            ("a", "Url", $"tcp://127.0.0.1:{port}"), ("a", "Handler", "echo"), ("b", "Url", $"tcp://127.0.0.1:{port}"), ("b", "Handler", "echo")));

        Assert.Equal(
            $"ByteStreams:Endpoints:b:Url: tcp://127.0.0.1:{port} is also the address of the endpoint 'a'. Give each endpoint its own address.",
            Assert.Single(errors.Errors));
    }

    private static async Task ReloadAsync(
        ReloadedHost running, EndPoint[] clientsOf, int changes, Func<int, (string Endpoint, string Key, string? Value)[]> change, int id = Changed,
        int times = Reloads, bool unanswered = false)
    {
        await using var clients = new ConnectingClients(clientsOf);
        for (int i = 0; i < times; i++)
        {
            running.Change(change(i));
            await running.WaitForAsync(id, changes * (i + 1));
        }

        await Patience.UntilAsync(() => clients.Answered, now => now >= AnsweredAtLeast);
        IReadOnlyList<string> failures = await clients.StopAsync();
        Assert.Equal([], unanswered ? failures.Where(failure => !failure.EndsWith(ConnectingClients.Unanswered, StringComparison.Ordinal)) : failures);
        Assert.DoesNotContain(running.Log.GetSnapshot(), record => record.Level >= LogLevel.Warning);
        await running.IsUndisturbedAsync();
    }

    private static SocketListener ListenerOf(ReloadedHost running, string endpoint) =>
        (SocketListener)Assert.Single(running.Servers[endpoint].Listeners.Loops).Listener;

    /// <summary>The backlog, as the kernel reports it: tcpi_sacked of a listening socket (struct tcp_info, at 28).</summary>
    private static int BacklogOf(Socket listening)
    {
        Span<byte> info = stackalloc byte[32];
        listening.GetRawSocketOption(6, 11, info);
        return BitConverter.ToInt32(info[28..]);
    }

    /// <summary>Another program without SO_REUSEPORT gets the port on no address of this one.</summary>
    private static void AssertNotShared(int port)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        Assert.Throws<SocketException>(() => socket.Bind(new IPEndPoint(IPAddress.Loopback, port)));
    }
}
