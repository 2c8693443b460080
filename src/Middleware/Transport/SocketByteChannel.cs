using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Transport;

/// <summary>A connected stream socket, whichever engine drives it.</summary>
internal abstract class SocketByteChannel : ByteChannel, IDisposable
{
    /// <summary>The address of this side, also after the close; null on a Unix socket, whose listener knows it.</summary>
    public abstract EndPoint? LocalEndPoint { get; }

    /// <summary>The peer's address, known also when the peer is gone; null on a Unix socket, whose clients have none.</summary>
    public abstract EndPoint? RemoteEndPoint { get; }

    /// <summary>The descriptor's number, for the comparison with <see cref="DescriptorLimit"/> only.</summary>
    public abstract nint Number { get; }

    /// <summary>
    /// The runtime's socket, for its options. The connection owns and closes it. Null after the close, on an engine without one.
    /// </summary>
    public abstract Socket? Socket { get; }

    /// <summary>The process at the other end of a Unix socket when it connected, also after the close.</summary>
    public abstract UnixCredentials? PeerCredentials { get; }

    /// <summary>As <see cref="ByteChannel.Close"/>, for a channel without a connection.</summary>
    public void Dispose() => Close();

    /// <summary>Maps the address of an IPv4 client on a dual-mode listener to IPv4.</summary>
    protected static EndPoint? Plain(EndPoint? endPoint) =>
        endPoint is IPEndPoint { Address.IsIPv4MappedToIPv6: true } mapped ? new IPEndPoint(mapped.Address.MapToIPv4(), mapped.Port) : endPoint;
}
