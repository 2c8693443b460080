using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Epoll;

namespace ByteStreams.Contract.Tests.Engine;

/// <summary>The own address of accepted connections: known from the listener, or asked of each socket.</summary>
public sealed class LocalAddressTests
{
    /// <summary>ip(7).</summary>
    private const int IpProtoIp = 0;
    private const int IpTransparent = 19;

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    public void Listener_OfOneAddress_KnowsTheAddressOfAllItsConnections(string address)
    {
        using Socket listening = Listen(address);

        Assert.Equal(listening.LocalEndPoint, EpollAcceptor.LocalEndPointOfAll(listening));
    }

    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("::")]
    [InlineData("::ffff:127.0.0.1")]
    public void Listener_OfAllAddressesOrOfMappedOnes_DoesNotKnowIt(string address)
    {
        using Socket listening = Listen(address);

        Assert.Null(EpollAcceptor.LocalEndPointOfAll(listening));
    }

    [Fact]
    public void Listener_OfATransparentSocket_DoesNotKnowIt()
    {
        using Socket listening = Listen("127.0.0.1");
        try
        {
            listening.SetRawSocketOption(IpProtoIp, IpTransparent, BitConverter.GetBytes(1));
        }
        catch (SocketException)
        {
            Assert.Skip("IP_TRANSPARENT needs CAP_NET_ADMIN.");
        }

        Assert.Null(EpollAcceptor.LocalEndPointOfAll(listening));
    }

    private static Socket Listen(string address)
    {
        var end = IPAddress.Parse(address);
        var socket = new Socket(end.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        if (end.AddressFamily == AddressFamily.InterNetworkV6)
        {
            socket.DualMode = end.IsIPv4MappedToIPv6;
        }

        socket.Bind(new IPEndPoint(end, 0));
        socket.Listen();
        return socket;
    }
}
