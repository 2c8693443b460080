using System.Net;
using System.Net.Sockets;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>Which addresses a server takes, and what it sets on its sockets.</summary>
public sealed class BindingTests
{
    [Fact]
    [Trait("Contract", "S8")]
    public async Task Start_HostNull_ServesBothFamiliesOnOnePort()
    {
        await using var server = await Start(null, 0);
        int port = server.Port();
        Assert.NotEqual(0, port);
        Assert.True(await IsServed(new IPEndPoint(IPAddress.Loopback, port)));
        Assert.True(await IsServed(new IPEndPoint(IPAddress.IPv6Loopback, port)));
    }

    [Theory]
    [InlineData(true, AddressFamily.Unspecified)]
    [InlineData(false, AddressFamily.InterNetworkV6)]
    [Trait("Contract", "S8")]
    public async Task Start_HostNullForIPv6Only_LeavesIPv4Alone(bool ipv6Only, AddressFamily family)
    {
        await using var server = await Start(null, 0, new() { IPv6Only = ipv6Only, AddressFamily = family });
        Assert.True(await IsServed(new IPEndPoint(IPAddress.IPv6Loopback, server.Port())));
        Assert.False(await IsServed(new IPEndPoint(IPAddress.Loopback, server.Port())));
    }

    [Fact]
    [Trait("Contract", "S8")]
    public async Task Start_HostNullForIPv4_LeavesIPv6Alone()
    {
        await using var server = await Start("", 0, new() { AddressFamily = AddressFamily.InterNetwork });
        Assert.True(await IsServed(new IPEndPoint(IPAddress.Loopback, server.Port())));
        Assert.False(await IsServed(new IPEndPoint(IPAddress.IPv6Loopback, server.Port())));
    }

    [Fact]
    [Trait("Contract", "S8")]
    public async Task Start_SeveralHosts_ListensOnEachOnceWithItsRealPort()
    {
        await using var server = await ByteStream.StartServerAsync(
            Given.Echo, ["127.0.0.1", "::1", "127.0.0.2", "127.0.0.1"], 0, null, TestContext.Current.CancellationToken);
        Assert.Equal(
            [IPAddress.Loopback, IPAddress.IPv6Loopback, IPAddress.Parse("127.0.0.2")],
            server.EndPoints.Select(endPoint => ((IPEndPoint)endPoint).Address));
        foreach (EndPoint endPoint in server.EndPoints)
        {
            Assert.True(await IsServed(endPoint));
        }
    }

    [Fact]
    [Trait("Contract", "S8")]
    public async Task Start_BothWildcardsOnOnePort_SharesItBetweenTheFamilies()
    {
        int port = Ports.Free();
        await using var server = await ByteStream.StartServerAsync(
            Given.Echo, ["::", "0.0.0.0"], port, null, TestContext.Current.CancellationToken);
        Assert.Equal(2, server.EndPoints.Count);
        Assert.True(await IsServed(new IPEndPoint(IPAddress.Loopback, port)));
        Assert.True(await IsServed(new IPEndPoint(IPAddress.IPv6Loopback, port)));
    }

    [Fact]
    [Trait("Contract", "S8")]
    public async Task Start_OneHostOfSeveralCannotBind_NamesItAndClosesTheOthers()
    {
        int port = Ports.Free();
        await using var holder = await Start("127.0.0.2", port);
        AddressInUseException inUse = await Assert.ThrowsAsync<AddressInUseException>(() => ByteStream.StartServerAsync(
            Given.Echo, ["127.0.0.1", "127.0.0.2"], port, null, TestContext.Current.CancellationToken).Soon());
        Assert.Contains($"127.0.0.2:{port}", inUse.Message, StringComparison.Ordinal);
        await using var again = await Start("127.0.0.1", port);
        Assert.Equal(port, again.Port());
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    [InlineData(null)]
    [Trait("Contract", "S8")]
    [Trait("Fault", "F45")]
    public async Task Start_PortInUse_ThrowsAndNamesThePort(string? host)
    {
        await using var first = await Start(host, 0);
        AddressInUseException inUse = await Assert.ThrowsAsync<AddressInUseException>(() => Start(host, first.Port()).Soon());
        Assert.Contains(first.EndPoints[0].ToString()!, inUse.Message, StringComparison.Ordinal);
        Assert.Contains("in use", inUse.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Contract", "S8")]
    public async Task Start_AddressOfAnotherMachine_NamesItAndTheRemedy()
    {
        // TEST-NET-1 (RFC 5737): nobody's.
        IOException error = await Assert.ThrowsAsync<IOException>(() => Start("192.0.2.1", 0).Soon());
        Assert.Contains("192.0.2.1", error.Message, StringComparison.Ordinal);
        Assert.Contains("no such address", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(65536)]
    [Trait("Contract", "S8")]
    public async Task Start_PortOutOfRange_Throws(int port) =>
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => Start("127.0.0.1", port).Soon());

    [Fact]
    [Trait("Contract", "S8")]
    public async Task Start_NoHosts_Throws() =>
        await Assert.ThrowsAsync<ArgumentException>(
            () => ByteStream.StartServerAsync(Given.Echo, [], 0, null, TestContext.Current.CancellationToken).Soon());

    [Fact]
    public async Task Start_AfterConnectionsOnTheSamePort_BindsAtOnce()
    {
        int port;
        await using (var first = await Start("127.0.0.1", 0))
        {
            port = first.Port();
            await using ByteStreamConnection client = await Given.Connect(first);
            // The server closes first: the TIME_WAIT is on its side.
            await Patience.UntilAsync(() => first.ClientCount, now => now == 1);
            first.CloseClients();
            Assert.Empty(await client.Rest());
        }

        await using var second = await Start("127.0.0.1", port);
        Assert.Equal(port, second.Port());
    }

    [Fact]
    public async Task Start_ReuseAddressOff_DoesNotSetIt()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The option's number is Linux'.");
        await using var off = await Start("127.0.0.1", 0, new() { ReuseAddress = false });
        await using var on = await Start("127.0.0.1", 0);
        // Accepted sockets inherit both.
        Assert.Equal((0, 0), await AcceptedOptions(off));
        Assert.Equal((1, 0), await AcceptedOptions(on));

        static async Task<(int ReuseAddress, int ReusePort)> AcceptedOptions(ByteStreamServer server)
        {
            using Socket client = await Given.RawClient(server);
            await Patience.UntilAsync(() => server.ClientCount, now => now == 1);
            Socket accepted = server.Sockets().Single();
            return (Raw(accepted, 2), Raw(accepted, 15));
        }

        static int Raw(Socket socket, int option)
        {
            byte[] value = new byte[4];
            socket.GetRawSocketOption(1, option, value);
            return BitConverter.ToInt32(value);
        }
    }

    [Fact]
    public async Task Start_TwiceWithReusePort_SharesThePort()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "ReusePort needs Linux or macOS.");
        await using var first = await Start("127.0.0.1", 0, new() { ReusePort = true });
        await using var second = await Start("127.0.0.1", first.Port(), new() { ReusePort = true });
        Assert.Equal(first.Port(), second.Port());
        first.Close();
        Assert.True(await IsServed(second.EndPoints[0]));
    }

    [Fact]
    public async Task Start_SocketOptions_ReachTheAcceptedSocket()
    {
        await using var server = await Start("127.0.0.1", 0, new()
        {
            NoDelay = false,
            KeepAlive = true,
            KeepAliveTime = TimeSpan.FromSeconds(11),
            KeepAliveInterval = TimeSpan.FromSeconds(7),
            KeepAliveCount = 3,
            ReceiveBufferSize = 20_000,
            SendBufferSize = 30_000,
        });
        using Socket client = await Given.RawClient(server);
        await Patience.UntilAsync(() => server.ClientCount, now => now == 1);
        AssertOptions(server.Sockets().Single());
    }

    [Fact]
    public async Task Connect_SocketOptions_ReachTheClientsSocket()
    {
        await using var server = await Start("127.0.0.1", 0);
        await using ByteStreamConnection client = await Given.Connect(server, new()
        {
            NoDelay = false,
            KeepAlive = true,
            KeepAliveTime = TimeSpan.FromSeconds(11),
            KeepAliveInterval = TimeSpan.FromSeconds(7),
            KeepAliveCount = 3,
            ReceiveBufferSize = 20_000,
            SendBufferSize = 30_000,
        });
        AssertOptions((Socket)client.Writer.GetExtraInfo("socket")!);
    }

    [Fact]
    public async Task Start_Defaults_AreNoDelayAndTheSystemsOwn()
    {
        await using var server = await Start("127.0.0.1", 0);
        await using ByteStreamConnection client = await Given.Connect(server);
        await Patience.UntilAsync(() => server.ClientCount, now => now == 1);
        foreach (Socket socket in (Socket[])[server.Sockets().Single(), (Socket)client.Writer.GetExtraInfo("socket")!])
        {
            Assert.True(socket.NoDelay);
            Assert.Equal(0, (int)socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive)!);
        }
    }

    [Fact]
    public async Task Start_Backlog_BoundsTheKernelsQueue()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The queue's bound is shown in Linux' /proc.");
        // Bound and adopted, so that nobody accepts: the queue fills as far as the backlog allows.
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var listener = Transport.Sockets.SocketListener.Adopt(
            socket, new ByteStreamServerOptions { Backlog = 1 }, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
        listener.Listen();
        var clients = new List<Socket>();
        int connected = 0;
        for (int i = 0; i < 8; i++)
        {
            var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            clients.Add(client);
            Task connect = client.ConnectAsync(listener.EndPoint, TestContext.Current.CancellationToken).AsTask();
            if (await Task.WhenAny(connect, Task.Delay(100, TestContext.Current.CancellationToken)) == connect)
            {
                connected++;
            }
        }

        Assert.InRange(connected, 1, 3);
        clients.ForEach(client => client.Dispose());
        await listener.DisposeAsync();
    }

    [Fact(Timeout = 60000)]
    public async Task Unbind_SocketThatOthersHoldToo_GoesOnListening()
    {
        CancellationToken cancel = TestContext.Current.CancellationToken;
        using var handedOver = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        handedOver.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        handedOver.Listen();
        for (int server = 0; server < 5; server++)
        {
            var factory = new ByteStreamTransportFactory();
            await using Microsoft.AspNetCore.Connections.IConnectionListener listener =
                await factory.BindAsync(new Microsoft.AspNetCore.Connections.FileHandleEndPoint((ulong)handedOver.Handle, Microsoft.AspNetCore.Connections.FileHandleType.Auto), cancel);
            Task<Microsoft.AspNetCore.Connections.ConnectionContext?> accept = listener.AcceptAsync(cancel).AsTask();
            using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            await client.ConnectAsync(listener.EndPoint, cancel);
            await (await accept)!.DisposeAsync();
            accept = listener.AcceptAsync(cancel).AsTask();
            await listener.UnbindAsync(cancel);
            Assert.Null(await accept);
        }

        using var last = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await last.ConnectAsync(handedOver.LocalEndPoint!, cancel);
        Assert.True(handedOver.Poll(TimeSpan.FromSeconds(30), SelectMode.SelectRead));
        using Socket accepted = handedOver.Accept();
    }

    [Theory]
    [InlineData(0.5, 1.0, 1, 1, "KeepAliveTime")]
    [InlineData(1.0, 0.0, 1, 1, "KeepAliveInterval")]
    [InlineData(1.0, 1.0, 0, 1, "KeepAliveCount")]
    [InlineData(1.0, 1.0, 128, 1, "KeepAliveCount")]
    [InlineData(1.0, 1.0, 1, 0, "ReceiveBufferSize")]
    public async Task Start_OptionThatTheSystemWouldRefuse_IsRefusedAtTheStart(double time, double interval, int count, int buffer, string named)
    {
        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(() => Start("127.0.0.1", 0, new()
        {
            KeepAlive = true,
            KeepAliveTime = TimeSpan.FromSeconds(time),
            KeepAliveInterval = TimeSpan.FromSeconds(interval),
            KeepAliveCount = count,
            ReceiveBufferSize = buffer,
        }).Soon());
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_OnBoundSocket_ServesItAndClosesItWithTheServer()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        EndPoint endPoint = socket.LocalEndPoint!;
        await using var server = await ByteStream.StartServerAsync(Given.Echo, socket, null, TestContext.Current.CancellationToken);
        Assert.Equal([endPoint], server.EndPoints);
        Assert.True(await IsServed(endPoint));
        server.Close();
        Assert.False(await IsServed(endPoint));
        Assert.True(socket.SafeHandle.IsClosed);
    }

    [Fact]
    public async Task Start_OnSocketThatIsNotBound_Throws()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(
            () => ByteStream.StartServerAsync(Given.Echo, socket, null, TestContext.Current.CancellationToken).Soon());
        Assert.Contains("bind it first", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_OnMemoryAddressInUse_NamesIt()
    {
        var endPoint = new InMemoryEndPoint("taken");
        await using var server = await ByteStream.StartServerAsync(Given.Echo, endPoint, null, TestContext.Current.CancellationToken);
        AddressInUseException inUse = await Assert.ThrowsAsync<AddressInUseException>(
            () => ByteStream.StartServerAsync(Given.Echo, endPoint, null, TestContext.Current.CancellationToken).Soon());
        Assert.Contains("memory:taken", inUse.Message, StringComparison.Ordinal);
    }

    private static void AssertOptions(Socket socket)
    {
        Assert.False(socket.NoDelay);
        Assert.Equal(1, (int)socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive)!);
        Assert.Equal(11, (int)socket.GetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime)!);
        Assert.Equal(7, (int)socket.GetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval)!);
        Assert.Equal(3, (int)socket.GetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount)!);
        // Linux doubles what is asked for, for its own book-keeping (socket(7)).
        int factor = OperatingSystem.IsLinux() ? 2 : 1;
        Assert.Equal(20_000 * factor, socket.ReceiveBufferSize);
        Assert.Equal(30_000 * factor, socket.SendBufferSize);
    }

    private static Task<ByteStreamServer> Start(string? host, int port, ByteStreamServerOptions? options = null) =>
        ByteStream.StartServerAsync(Given.UntilEnd, host, port, options, TestContext.Current.CancellationToken);

    private static async Task<bool> IsServed(EndPoint endPoint)
    {
        using var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(endPoint, TestContext.Current.CancellationToken).Soon();
            return true;
        }
        catch (SocketException refused) when (refused.SocketErrorCode == SocketError.ConnectionRefused)
        {
            return false;
        }
    }
}
