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

    /// <summary>The descriptor's number, for whoever counts descriptors; not to be used otherwise.</summary>
    public abstract nint Number { get; }

    /// <summary>
    /// The runtime's view of the socket, for its options. It belongs to the connection and is closed with it; null where it is asked for
    /// after the close, and the engine has none.
    /// </summary>
    public abstract Socket? Socket { get; }

    /// <summary>The process at the other end of a Unix socket when it connected, also after the close.</summary>
    public abstract UnixCredentials? PeerCredentials { get; }

    /// <summary>As <see cref="ByteChannel.Close"/>, for whoever has no connection for it.</summary>
    public void Dispose() => Close();

    /// <summary>An IPv4 client of a dual-mode listener is shown with its IPv4 address, as everybody writes it.</summary>
    protected static EndPoint? Plain(EndPoint? endPoint) =>
        endPoint is IPEndPoint { Address.IsIPv4MappedToIPv6: true } mapped ? new IPEndPoint(mapped.Address.MapToIPv4(), mapped.Port) : endPoint;
}
