using System.Net.Sockets;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Sockets;

/// <summary>State of the runtime's sockets that the runtime does not expose. Linux; elsewhere each member returns its default.</summary>
internal static class SocketState
{
    /// <summary>Bytes that were sent and that the peer's side has not acknowledged.</summary>
    public static int Unacknowledged(Socket socket) => Read(socket, LibC.Unacknowledged, closed: 0);

    /// <summary>Whether the peer has shut down its direction, or the connection is gone.</summary>
    public static bool HasPeerEnded(Socket socket) => Read(socket, LibC.HasPeerHungUp, closed: true);

    /// <summary>
    /// Whether a TCP connection whose sending direction is open is gone. The kernel reports a reset to one call only: after a send that
    /// failed by it, a receive returns 0, as if the peer had shut down its direction.
    /// </summary>
    public static bool IsReset(Socket socket) => TcpState(socket) == SocketConstants.TcpClose;

    /// <summary>Whether the peer's FIN has arrived on a TCP connection, received or not.</summary>
    public static bool HasFinArrived(Socket socket) =>
        TcpState(socket) is SocketConstants.TcpCloseWait or SocketConstants.TcpLastAck or SocketConstants.TcpClosing;

    private static byte TcpState(Socket socket)
    {
        if (!OperatingSystem.IsLinux() || socket.AddressFamily == AddressFamily.Unix)
        {
            return 0;
        }

        // tcp_info begins with the state: after the peer's FIN that is CLOSE_WAIT, after its reset CLOSE (tcp(7)).
        Span<byte> state = stackalloc byte[1];
        try
        {
            _ = socket.GetRawSocketOption(SocketConstants.IpProtoTcp, SocketConstants.TcpInfo, state);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            return 0;
        }

        return state[0];
    }

    /// <param name="socket">The socket.</param>
    /// <param name="read">Reads from its descriptor, which is not closed meanwhile.</param>
    /// <param name="closed">The result for a closed socket.</param>
    private static TResult? Read<TResult>(Socket socket, Func<int, TResult> read, TResult closed)
    {
        if (!OperatingSystem.IsLinux())
        {
            return default;
        }

        bool held = false;
        try
        {
            SafeSocketHandle handle = socket.SafeHandle;
            handle.DangerousAddRef(ref held);
            return read((int)handle.DangerousGetHandle());
        }
        catch (ObjectDisposedException)
        {
            return closed;
        }
        finally
        {
            if (held)
            {
                socket.SafeHandle.DangerousRelease();
            }
        }
    }
}
