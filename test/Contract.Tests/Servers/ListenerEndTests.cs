using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Interop;
using ByteStreams.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>The end of a listener whose queue is emptied first, in the states that its server may have left it in.</summary>
public sealed class ListenerEndTests
{
    private static readonly TimeSpan Within = TimeSpan.FromSeconds(10);

    [Theory(Timeout = 60000)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task EmptyAsync_UnboundByItsServer_IsDone(bool isInherited)
    {
        SocketListener listener = Listen(isInherited ? SocketOwnership.Descriptor : SocketOwnership.Socket);
        await listener.UnbindAsync(TestContext.Current.CancellationToken);

        await listener.EmptyAsync(Within);
    }

    [Fact(Timeout = 60000)]
    public async Task EmptyAsync_SystemTakesNoFilter_AcceptsTheQueue()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the filter is Linux's");
        await using SocketListener listener = Listen(SocketOwnership.Socket);
        Span<byte> on = [1, 0, 0, 0];
        const int soLockFilter = 44;
        listener.Socket.SetRawSocketOption(SocketConstants.SolSocket, soLockFilter, on);
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(listener.EndPoint, TestContext.Current.CancellationToken);

        Task emptied = listener.EmptyAsync(Within);
        await using (await listener.AcceptAsync(TestContext.Current.CancellationToken))
        {
            await emptied;
        }
    }

    private static SocketListener Listen(SocketOwnership ownership)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        SocketListener listener = SocketListener.Adopt(socket, new ByteStreamServerOptions(), NullLogger.Instance, ownership);
        listener.Listen();
        return listener;
    }
}
