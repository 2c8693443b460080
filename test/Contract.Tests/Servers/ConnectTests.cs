using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using ByteStreams.Testing;
using ByteStreams.Transport;
using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Memory;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>How a client finds its way: the race of the addresses, its errors, its options, its cancellation.</summary>
public sealed class ConnectTests
{
    private static readonly EndPoint A = new IPEndPoint(IPAddress.Parse("192.0.2.1"), 7);
    private static readonly EndPoint B = new IPEndPoint(IPAddress.Parse("2001:db8::2"), 7);
    private static readonly EndPoint C = new IPEndPoint(IPAddress.Parse("192.0.2.3"), 7);

    private readonly CountingTimeProvider _time = new();

    [Fact]
    [Trait("Contract", "C1")]
    public async Task Race_SilentAddress_StartsTheNextAfterTheDelay()
    {
        var race = new Race(A, B, C);
        Task<Socket> connect = race.Run(new() { TimeProvider = _time });
        Assert.Equal([A], race.Started);
        _time.Advance(TimeSpan.FromMilliseconds(249));
        await Task.Yield();
        Assert.Equal([A], race.Started);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        await Patience.UntilAsync(() => race.Started.Count == 2 && _time.Timers == 2);
        _time.Advance(TimeSpan.FromMilliseconds(250));
        await Patience.UntilAsync(() => race.Started.Count, now => now == 3);
        Assert.Equal([A, B, C], race.Started);

        using Socket winner = NewSocket();
        race.Succeed(B, winner);
        Assert.Same(winner, await connect.Soon());
        Assert.True(race.IsCancelled(A));
        Assert.True(race.IsCancelled(C));
    }

    [Fact]
    [Trait("Contract", "C1")]
    public async Task Race_AddressFails_StartsTheNextAtOnce()
    {
        var race = new Race(A, B);
        Task<Socket> connect = race.Run(new() { TimeProvider = _time });
        race.Fail(A, SocketError.HostUnreachable);
        await Patience.UntilAsync(() => race.Started.Count, now => now == 2);
        using Socket winner = NewSocket();
        race.Succeed(B, winner);
        Assert.Same(winner, await connect.Soon());
    }

    [Fact]
    [Trait("Fault", "F72")]
    public async Task Race_NoDescriptorForOneOfTheAddresses_ThrowsThat()
    {
        var race = new Race(A, B, C);
        Task<Socket> connect = race.Run(new() { TimeProvider = _time });
        race.Fail(A, SocketError.HostUnreachable);
        await Patience.UntilAsync(() => race.Started.Count, now => now == 2);
        race.Fail(B, SocketError.TooManyOpenSockets);
        await Patience.UntilAsync(() => race.Started.Count, now => now == 3);
        race.Fail(C, SocketError.ConnectionRefused);

        Assert.True(DescriptorLimit.IsShortage(await Assert.ThrowsAsync<SocketException>(connect.Soon)));
    }

    [Fact]
    [Trait("Contract", "C1")]
    public async Task Race_LoserConnectsAllTheSame_IsClosed()
    {
        var race = new Race(A, B) { IgnoresCancellation = true };
        Task<Socket> connect = race.Run(new() { TimeProvider = _time });
        _time.Advance(TimeSpan.FromMilliseconds(250));
        await Patience.UntilAsync(() => race.Started.Count, now => now == 2);
        using Socket a = NewSocket();
        using Socket b = NewSocket();
        race.Succeed(A, a);
        race.Succeed(B, b);
        // Both at one moment: either may win, and then the other is closed.
        Socket winner = await connect.Soon();
        Assert.Equal(winner == b, a.SafeHandle.IsClosed);
        Assert.Equal(winner == a, b.SafeHandle.IsClosed);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [Trait("Contract", "C1")]
    public async Task Race_DelayOff_TriesOneAfterTheOther(int milliseconds)
    {
        var race = new Race(A, B);
        Task<Socket> connect = race.Run(new() { TimeProvider = _time, HappyEyeballsDelay = TimeSpan.FromMilliseconds(milliseconds) });
        _time.Advance(TimeSpan.FromHours(1));
        await Task.Yield();
        Assert.Equal([A], race.Started);
        race.Fail(A, SocketError.ConnectionRefused);
        await Patience.UntilAsync(() => race.Started.Count, now => now == 2);
        using Socket winner = NewSocket();
        race.Succeed(B, winner);
        Assert.Same(winner, await connect.Soon());
    }

    [Fact]
    [Trait("Contract", "C1")]
    public async Task Race_CancelledWhenAlreadyWon_KeepsTheSocket()
    {
        using var cancel = new CancellationTokenSource();
        using Socket winner = NewSocket();
        using Socket connected = await HappyEyeballs.ConnectAsync(
            [A],
            (_, _) =>
            {
                cancel.Cancel();
                return Task.FromResult(winner);
            },
            new() { TimeProvider = _time }, cancel.Token).Soon();
        Assert.Same(winner, connected);
        Assert.False(winner.SafeHandle.IsClosed);
    }

    [Fact]
    [Trait("Contract", "C1")]
    public void Order_OfAddresses_AlternatesTheFamilies()
    {
        IPAddress[] six = [IPAddress.Parse("2001:db8::1"), IPAddress.Parse("2001:db8::2"), IPAddress.Parse("2001:db8::3")];
        IPAddress[] four = [IPAddress.Parse("192.0.2.1"), IPAddress.Parse("192.0.2.2")];
        Assert.Equal([six[0], four[0], six[1], four[1], six[2]], HostAddresses.Interleave([.. six, .. four]));
        Assert.Equal([four[0], six[0], four[1], six[1]], HostAddresses.Interleave([four[0], four[1], six[0], six[1]]));
    }

    [Fact]
    [Trait("Contract", "C1")]
    public async Task Connect_ReallyWithOneFamilyRefused_TakesTheOther()
    {
        await using var server = await ByteStream.StartServerAsync(Given.Echo, "127.0.0.1", 0, null, TestContext.Current.CancellationToken);
        var options = new ByteStreamClientOptions();
        using SocketByteChannel connected = await HappyEyeballs.ConnectAsync(
            [new IPEndPoint(IPAddress.IPv6Loopback, server.Port()), server.EndPoints[0]],
            (endPoint, token) => TransportEngine.For(options).ConnectAsync(endPoint, options, null, token), options, TestContext.Current.CancellationToken).Soon();
        Assert.Equal(server.EndPoints[0], connected.RemoteEndPoint);
    }

    [Fact]
    public async Task Connect_ResetAtOnce_IsReportedByTheConnectOrTheFirstRead()
    {
        using Socket listener = Silent();
        for (int i = 0; i < 50; i++)
        {
            Task<Socket> accept = listener.AcceptAsync(TestContext.Current.CancellationToken).AsTask();
            Task reset = accept.ContinueWith(accepted => accepted.Result.Reset(), TestContext.Current.CancellationToken, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            try
            {
                await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(
                    listener.LocalEndPoint!, null, TestContext.Current.CancellationToken).Soon();
                Assert.Equal(listener.LocalEndPoint, client.Writer.RemoteEndPoint);
                await Assert.ThrowsAsync<ConnectionResetException>(() => client.Rest());
            }
            catch (SocketException early)
            {
                Assert.Equal(SocketError.ConnectionReset, early.SocketErrorCode);
            }

            await reset.Soon();
        }
    }

    [Fact]
    [Trait("Contract", "C2")]
    public async Task Connect_OneAddressFails_ThrowsTheVeryError()
    {
        var error = new SocketException((int)SocketError.HostUnreachable);
        Assert.Same(error, await Assert.ThrowsAsync<SocketException>(() => HappyEyeballs.ConnectAsync(
            [A], (_, _) => Task.FromException<Socket>(error), new(), TestContext.Current.CancellationToken).Soon()));

        int port = Ports.Refusing(out Socket holder);
        using Socket held = holder;
        SocketException refused = await Assert.ThrowsAsync<SocketException>(
            () => ByteStream.OpenConnectionAsync("127.0.0.1", port, null, TestContext.Current.CancellationToken).Soon());
        Assert.Equal(SocketError.ConnectionRefused, refused.SocketErrorCode);
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("localhost")]
    [Trait("Contract", "C2")]
    public async Task Connect_Refused_NamesTheAddress(string host)
    {
        int port = Ports.Refusing(out Socket holder);
        using Socket held = holder;
        var options = new ByteStreamClientOptions { AddressFamily = AddressFamily.InterNetwork };
        SocketException refused = await Assert.ThrowsAsync<SocketException>(
            () => ByteStream.OpenConnectionAsync(host, port, options, TestContext.Current.CancellationToken).Soon());
        Assert.Equal(SocketError.ConnectionRefused, refused.SocketErrorCode);
        Assert.EndsWith($" (127.0.0.1:{port})", refused.Message, StringComparison.Ordinal);
        refused = await Assert.ThrowsAsync<SocketException>(() => ByteStream.OpenConnectionAsync(
            new IPEndPoint(IPAddress.Loopback, port), null, TestContext.Current.CancellationToken).Soon());
        Assert.EndsWith($" (127.0.0.1:{port})", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Contract", "C2")]
    public async Task Connect_SeveralAddressesFail_ListsEachWithItsCause()
    {
        var race = new Race(A, B);
        Task<Socket> connect = race.Run(new() { TimeProvider = _time });
        race.Fail(A, SocketError.HostUnreachable);
        await Patience.UntilAsync(() => race.Started.Count, now => now == 2);
        race.Fail(B, SocketError.ConnectionRefused);
        IOException error = await Assert.ThrowsAsync<IOException>(() => connect.Soon());
        var causes = Assert.IsType<AggregateException>(error.InnerException).InnerExceptions.Cast<SocketException>().ToList();
        Assert.Equal([SocketError.HostUnreachable, SocketError.ConnectionRefused], causes.Select(cause => cause.SocketErrorCode));
        Assert.Contains($"{A}: {causes[0].Message}", error.Message, StringComparison.Ordinal);
        Assert.Contains($"{B}: {causes[1].Message}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Contract", "C3")]
    public async Task Connect_ServerHostNameWithoutTls_Throws()
    {
        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(() => ByteStream.OpenConnectionAsync(
            "127.0.0.1", 1, new() { ServerHostName = "example.org" }, TestContext.Current.CancellationToken).Soon());
        Assert.Contains("ServerHostName", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Contract", "C3")]
    public async Task Connect_LocalEndPoint_IsWhereItComesFrom()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux has all of 127.0.0.0/8 on its loopback.");
        var peer = new TaskCompletionSource<EndPoint?>();
        await using var server = await ByteStream.StartServerAsync(
            (_, writer) =>
            {
                peer.SetResult(writer.RemoteEndPoint);
                return Task.CompletedTask;
            }, "127.0.0.1", 0, null, TestContext.Current.CancellationToken);
        await using ByteStreamConnection client = await Given.Connect(server, new() { LocalEndPoint = new(IPAddress.Parse("127.0.0.3"), 0) });
        Assert.Equal(IPAddress.Parse("127.0.0.3"), ((IPEndPoint?)await peer.Task.Soon())!.Address);
        Assert.Equal(client.Writer.LocalEndPoint, await peer.Task);
    }

    [Fact]
    [Trait("Contract", "C3")]
    public async Task Connect_AddressFamily_RestrictsTheAddresses()
    {
        IOException error = await Assert.ThrowsAsync<IOException>(() => ByteStream.OpenConnectionAsync(
            "127.0.0.1", 1, new() { AddressFamily = AddressFamily.InterNetworkV6 }, TestContext.Current.CancellationToken).Soon());
        Assert.Contains("127.0.0.1", error.Message, StringComparison.Ordinal);
        Assert.Contains("InterNetworkV6", error.Message, StringComparison.Ordinal);

        await using var server = await ByteStream.StartServerAsync(Given.Echo, "127.0.0.1", 0, null, TestContext.Current.CancellationToken);
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(
            "localhost", server.Port(), new() { AddressFamily = AddressFamily.InterNetwork }, TestContext.Current.CancellationToken).Soon();
        Assert.Equal(server.EndPoints[0], client.Writer.RemoteEndPoint);
    }

    [Fact]
    [Trait("Contract", "C3")]
    public async Task Connect_ContradictingOptions_Throws()
    {
        await Assert.ThrowsAsync<ArgumentException>(() => ByteStream.OpenConnectionAsync("127.0.0.1", 1, new()
        {
            AddressFamily = AddressFamily.InterNetworkV6,
            LocalEndPoint = new(IPAddress.Loopback, 0),
        }, TestContext.Current.CancellationToken).Soon());
        await Assert.ThrowsAsync<ArgumentException>(() => ByteStream.OpenConnectionAsync(
            "127.0.0.1", 1, new() { ConnectTimeout = TimeSpan.Zero }, TestContext.Current.CancellationToken).Soon());
        await Assert.ThrowsAsync<ArgumentException>(() => ByteStream.OpenConnectionAsync(
            "127.0.0.1", 1, new() { AddressFamily = AddressFamily.Unix }, TestContext.Current.CancellationToken).Soon());
    }

    [Fact]
    [Trait("Contract", "C3")]
    [Trait("Contract", "C4")]
    public async Task Connect_TimeoutAtABlackHole_ThrowsAndClosesTheSocket()
    {
        using var hole = await BlackHole.DigAsync();
        Task<ByteStreamConnection> connect = ByteStream.OpenConnectionAsync(
            hole.EndPoint, new() { TimeProvider = _time, ConnectTimeout = TimeSpan.FromSeconds(5) }, TestContext.Current.CancellationToken);
        _time.Advance(TimeSpan.FromSeconds(4.9));
        await Task.Yield();
        Assert.False(connect.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(0.1));
        TimeoutException error = await Assert.ThrowsAsync<TimeoutException>(() => connect.Soon());
        Assert.Contains(hole.EndPoint.ToString()!, error.Message, StringComparison.Ordinal);
        Assert.Contains("5 s", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, hole.Attempts());
    }

    [Fact]
    [Trait("Contract", "C3")]
    public async Task Connect_InMemoryBacklogFull_EndsAtTheConnectTimeout()
    {
        var endPoint = new InMemoryEndPoint(Guid.NewGuid().ToString());
        await using InMemoryListener listener = InMemoryListener.Bind(endPoint, new() { Backlog = 1 });
        listener.Listen();
        await using ByteStreamConnection first = await ByteStream.OpenConnectionAsync(endPoint, null, TestContext.Current.CancellationToken);
        Task<ByteStreamConnection> second = ByteStream.OpenConnectionAsync(
            endPoint, new() { TimeProvider = _time, ConnectTimeout = TimeSpan.FromSeconds(5) }, TestContext.Current.CancellationToken);

        _time.Advance(TimeSpan.FromSeconds(4.9));
        await Task.Yield();
        Assert.False(second.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(0.1));

        TimeoutException error = await Assert.ThrowsAsync<TimeoutException>(() => second.Soon());
        Assert.Contains("5 s", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Contract", "C4")]
    public async Task Connect_CancelledAtABlackHole_ThrowsWithTheCallersTokenAndClosesTheSocket()
    {
        using var hole = await BlackHole.DigAsync();
        using var cancel = new CancellationTokenSource();
        Task<ByteStreamConnection> connect = ByteStream.OpenConnectionAsync(hole.EndPoint, null, cancel.Token);
        await Patience.UntilAsync(() => !OperatingSystem.IsLinux() || hole.Attempts() == 1);
        await cancel.CancelAsync();
        OperationCanceledException error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connect.Soon());
        Assert.Equal(cancel.Token, error.CancellationToken);
        Assert.Equal(0, hole.Attempts());
    }

    [Fact]
    [Trait("Contract", "C4")]
    public async Task Connect_CancelledInTheRace_EndsEveryAttemptAndStartsNone()
    {
        var race = new Race(A, B, C);
        using var cancel = new CancellationTokenSource();
        Task<Socket> connect = race.RunUntil(new() { TimeProvider = _time }, cancel.Token);
        _time.Advance(TimeSpan.FromMilliseconds(250));
        await Patience.UntilAsync(() => race.Started.Count, now => now == 2);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connect.Soon());
        Assert.True(race.IsCancelled(A));
        Assert.True(race.IsCancelled(B));
        Assert.Equal([A, B], race.Started);
    }

    [Fact]
    [Trait("Contract", "C3")]
    public async Task Handshake_WithSilentServer_TimesOutAndClosesTheSocket()
    {
        using Socket listener = Silent();
        Task<ByteStreamConnection> connect = ByteStream.OpenConnectionAsync(
            listener.LocalEndPoint!,
            new() { TimeProvider = _time, Tls = new SslClientAuthenticationOptions { TargetHost = "x" }, TlsHandshakeTimeout = TimeSpan.FromSeconds(5) },
            TestContext.Current.CancellationToken);
        using Socket accepted = await listener.AcceptAsync(TestContext.Current.CancellationToken).Soon();
        Assert.True(await accepted.ReceiveAsync(new byte[4096], TestContext.Current.CancellationToken).Soon() > 0);
        _time.Advance(TimeSpan.FromSeconds(5));
        AuthenticationException error = await Assert.ThrowsAsync<AuthenticationException>(() => connect.Soon());
        Assert.Contains("5 s", error.Message, StringComparison.Ordinal);
        await AssertGone(accepted);
    }

    [Fact]
    [Trait("Contract", "C4")]
    public async Task Handshake_Cancelled_CarriesTheCallersTokenAndClosesTheSocketAtOnce()
    {
        using Socket listener = Silent();
        using var cancel = new CancellationTokenSource();
        Task<ByteStreamConnection> connect = ByteStream.OpenConnectionAsync(
            listener.LocalEndPoint!, new() { TimeProvider = _time, Tls = new SslClientAuthenticationOptions { TargetHost = "x" } }, cancel.Token);
        using Socket accepted = await listener.AcceptAsync(TestContext.Current.CancellationToken).Soon();
        Assert.True(await accepted.ReceiveAsync(new byte[4096], TestContext.Current.CancellationToken).Soon() > 0);
        await cancel.CancelAsync();
        // The clock stands: nothing here waits for a peer that says nothing.
        OperationCanceledException cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connect.Soon());
        Assert.Equal(cancel.Token, cancelled.CancellationToken);
        await AssertGone(accepted);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\n")]
    [InlineData("\u0016\u0003\u0003\u0000\u0005\u0002\u0000\u0000\u0001\u0003")]
    [InlineData("\u0016\u0003\u0003\u0000\u0001\u0002")]
    [InlineData("\u0016\u0003\u0003\u0000\u0005\u0001\u0000\u0000\u0001\u0003")]
    [Trait("Contract", "C3")]
    public async Task Handshake_ServerSendsGarbage_IsAnAuthenticationException(string sent)
    {
        using Socket listener = Silent();
        Task<ByteStreamConnection> connect = ByteStream.OpenConnectionAsync(
            listener.LocalEndPoint!, new() { Tls = new SslClientAuthenticationOptions { TargetHost = "x" } }, TestContext.Current.CancellationToken);
        using Socket accepted = await listener.AcceptAsync(TestContext.Current.CancellationToken).Soon();
        await accepted.SendAsync(System.Text.Encoding.Latin1.GetBytes(sent), TestContext.Current.CancellationToken);
        accepted.Shutdown(SocketShutdown.Send);

        await Assert.ThrowsAsync<AuthenticationException>(() => connect.Soon());
    }

    private static Socket Silent()
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        return listener;
    }

    private static async Task AssertGone(Socket peer)
    {
        try
        {
            Assert.Equal(0, await peer.ReceiveAsync(new byte[1], TestContext.Current.CancellationToken).Soon());
        }
        catch (SocketException reset)
        {
            Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        }
    }

    private static Socket NewSocket() => new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    /// <summary>Attempts that end when the test says so.</summary>
    private sealed class Race(params EndPoint[] candidates)
    {
        private readonly Dictionary<EndPoint, TaskCompletionSource<Socket>> _attempts =
            candidates.ToDictionary(candidate => candidate, _ => new TaskCompletionSource<Socket>(TaskCreationOptions.RunContinuationsAsynchronously));

        public bool IgnoresCancellation { get; init; }

        public ConcurrentQueue<EndPoint> Started { get; } = new();

        public Task<Socket> Run(ByteStreamClientOptions options) => RunUntil(options, TestContext.Current.CancellationToken);

        public Task<Socket> RunUntil(ByteStreamClientOptions options, CancellationToken cancellationToken) =>
            HappyEyeballs.ConnectAsync(candidates, Connect, options, cancellationToken);

        public void Succeed(EndPoint endPoint, Socket socket) => _attempts[endPoint].SetResult(socket);

        public void Fail(EndPoint endPoint, SocketError error) => _attempts[endPoint].SetException(new SocketException((int)error));

        public bool IsCancelled(EndPoint endPoint) => _attempts[endPoint].Task.IsCanceled;

        private Task<Socket> Connect(EndPoint endPoint, CancellationToken token)
        {
            TaskCompletionSource<Socket> attempt = _attempts[endPoint];
            if (!IgnoresCancellation)
            {
                token.UnsafeRegister(_ => attempt.TrySetCanceled(token), null);
            }

            Started.Enqueue(endPoint);
            return attempt.Task;
        }
    }

    /// <summary>A listener on loopback whose queue is full, so that the kernel answers nobody.</summary>
    private sealed class BlackHole : IDisposable
    {
        private readonly List<Socket> _sockets = [];

        public EndPoint EndPoint => _sockets[0].LocalEndPoint!;

        public static async Task<BlackHole> DigAsync()
        {
            Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux is known to leave a client unanswered when the queue is full.");
            var hole = new BlackHole();
            Socket listener = NewSocket();
            hole._sockets.Add(listener);
            listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            listener.Listen(0);
            Socket filler = NewSocket();
            hole._sockets.Add(filler);
            await filler.ConnectAsync(listener.LocalEndPoint!, TestContext.Current.CancellationToken).Soon();
            return hole;
        }

        /// <summary>The sockets in state SYN_SENT (2) towards the hole, as the kernel lists them (proc(5), /proc/net/tcp).</summary>
        public int Attempts()
        {
            string port = ((IPEndPoint)EndPoint).Port.ToString("X4", CultureInfo.InvariantCulture);
            return File.ReadLines("/proc/net/tcp")
                .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
                .Count(fields => fields[2].EndsWith(":" + port, StringComparison.Ordinal) && fields[3] == "02");
        }

        public void Dispose() => _sockets.ForEach(socket => socket.Dispose());
    }
}
