using System.Net.Sockets;
using System.Runtime.InteropServices;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Sockets;

/// <summary>
/// The runtime's sockets on descriptors that the application owns: one per descriptor, never disposed. The runtime's event loop keeps its
/// registration while the descriptor is open, and could not register a second <see cref="Socket"/> (EEXIST).
/// </summary>
internal static class SharedSockets
{
    private static readonly Dictionary<nint, (ulong Cookie, Socket Socket)> Known = [];

    /// <summary>The socket of a descriptor, which it does not close.</summary>
    /// <exception cref="SocketException">The descriptor is not a socket.</exception>
    public static Socket Get(nint descriptor)
    {
        var socket = new Socket(new SafeSocketHandle(descriptor, ownsHandle: false));
        ulong cookie = GetCookie(socket);
        lock (Known)
        {
            if (!Known.TryGetValue(descriptor, out (ulong Cookie, Socket Socket) known) || known.Cookie != cookie)
            {
                Known[descriptor] = known = (cookie, socket);
            }

            return known.Socket;
        }
    }

    /// <summary>The unique number of a socket, whatever its descriptor (SO_COOKIE). 0 on other systems than Linux.</summary>
    private static ulong GetCookie(Socket socket)
    {
        Span<byte> cookie = stackalloc byte[sizeof(ulong)];
        if (OperatingSystem.IsLinux())
        {
            socket.GetRawSocketOption(SocketConstants.SolSocket, SocketConstants.SoCookie, cookie);
        }

        return MemoryMarshal.Read<ulong>(cookie);
    }
}
