using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Epoll;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Contract.Tests.Engine;

/// <summary>A FIN that a reset follows reads as an end: the channel distinguishes the two by epoll's events, or by the state of the socket.</summary>
public sealed class ResetAfterEndTests : IDisposable
{
    private readonly Socket _peer = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly EpollChannel _channel;

    public ResetAfterEndTests()
    {
        Assert.SkipUnless(LibC.IsSupported, "The engine needs Linux on x64 or arm64.");
        using var listening = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listening.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listening.Listen();
        _peer.Connect(listening.LocalEndPoint!);
        using Socket accepted = listening.Accept();

        // No thread leads the loop: the test gives the channel its events.
        var descriptor = new Descriptor(LibC.DuplicateNonBlocking((int)accepted.Handle));
        _channel = new EpollChannel(new EventLoop(_ => { }), descriptor, isUnix: false, default, local: null, takesDescriptors: false, suspicion: null);
    }

    [Fact]
    public void Receive_AfterAFin_IsTheEnd()
    {
        _peer.Shutdown(SocketShutdown.Send);
        ((IEventSink)_channel).OnEvents(EpollEvents.In | EpollEvents.PeerHangUp);

        Assert.True(_channel.TryReceive(new byte[16], out int received, out Exception? loss));

        Assert.Equal((0, null), (received, loss));
    }

    [Fact]
    public void Receive_AfterAFinAndAReset_IsTheReset()
    {
        _peer.Shutdown(SocketShutdown.Send);
        ((IEventSink)_channel).OnEvents(EpollEvents.In | EpollEvents.PeerHangUp);
        ResetByPeer();
        ((IEventSink)_channel).OnEvents(EpollEvents.In | EpollEvents.PeerHangUp | EpollEvents.HangUp | EpollEvents.Error);

        Assert.True(_channel.TryReceive(new byte[16], out _, out Exception? loss));

        Assert.NotNull(loss);
    }

    [Fact]
    public void Receive_BeforeTheEventsOfAFinAndAReset_IsTheReset()
    {
        _peer.Shutdown(SocketShutdown.Send);
        ResetByPeer();

        Assert.True(_channel.TryReceive(new byte[16], out _, out Exception? loss));

        Assert.NotNull(loss);
    }

    public void Dispose()
    {
        _peer.Dispose();
        _channel?.Dispose();
    }

    private void ResetByPeer()
    {
        _peer.LingerState = new LingerOption(true, 0);
        _peer.Dispose();
    }
}
