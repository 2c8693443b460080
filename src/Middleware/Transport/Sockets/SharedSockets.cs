using System.Net.Sockets;
using System.Runtime.InteropServices;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Sockets;

/// <summary>
/// The runtime's sockets over descriptors that others own. One for each descriptor, never disposed: the runtime's event loop keeps its
/// registration for as long as the owner's descriptor is open, and a second <see cref="Socket"/> would not be registered (EEXIST).
/// </summary>
internal static class SharedSockets
{
    private static readonly Dictionary<nint, (ulong Cookie, Socket Socket)> Known = [];

    /// <summary>The socket of a descriptor. It closes nothing.</summary>
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

    /// <summary>A number that no other socket has, also where it gets the same descriptor (SO_COOKIE). 0 elsewhere than on Linux.</summary>
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
