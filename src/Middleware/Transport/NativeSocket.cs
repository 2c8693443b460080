using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace ByteStreams.Transport;

/// <summary>The few facts about sockets that the runtime does not expose.</summary>
internal static partial class NativeSocket
{
    public const int SolSocket = 1;
    public const int SoPeerCred = 17;
    public const int IpProtoTcp = 6;
    public const int TcpInfo = 11;
    public const int TcpUserTimeout = 18;
    public const byte TcpClose = 7;
    private const byte TcpCloseWait = 8;
    private const byte TcpLastAck = 9;
    private const byte TcpClosing = 11;

    /// <summary>The size of struct ucred: process, user and group.</summary>
    public const int CredentialsSize = 12;

    /// <summary>SIOCOUTQ on TCP, the same number on Unix sockets: bytes sent and not yet acknowledged, or not yet read by the peer.</summary>
    private const nuint SiocOutq = 0x5411;

    /// <summary>SIOCINQ: bytes received and not yet read.</summary>
    private const nuint SiocInq = 0x541B;

    /// <summary>Bytes the kernel holds for the peer; 0 where the platform cannot say.</summary>
    public static int Unacknowledged(Socket socket) => Ask(socket, Unacknowledged, 0);

    /// <summary>Whether the peer has ended its direction or is gone; false where the platform cannot say.</summary>
    public static bool HasPeerEnded(Socket socket) => Ask(socket, HasPeerEnded, closed: true);

    /// <param name="socket">The socket.</param>
    /// <param name="ask">Asks for something of its descriptor.</param>
    /// <param name="closed">The answer for a socket that is closed.</param>
    private static TAnswer? Ask<TAnswer>(Socket socket, Func<int, TAnswer> ask, TAnswer closed)
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
            return ask((int)handle.DangerousGetHandle());
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

    /// <summary>As above, for a descriptor that cannot be closed meanwhile. Linux only.</summary>
    public static int Unacknowledged(int descriptor) => Ioctl(descriptor, SiocOutq, out int bytes) == 0 ? bytes : 0;

    /// <summary>Bytes that a receive would find, of a descriptor that cannot be closed meanwhile. Linux only.</summary>
    public static int Arrived(int descriptor) => Ioctl(descriptor, SiocInq, out int bytes) == 0 ? bytes : 0;

    /// <summary>
    /// Whether a TCP connection of which this side has not been shut down is gone altogether. The kernel tells a reset once, to
    /// whichever call comes first; behind a send that was told, a receive says "end", as if the peer had finished.
    /// </summary>
    public static bool IsReset(Socket socket) => TcpState(socket) == TcpClose;

    /// <summary>Whether the peer of a TCP connection has sent its end, received or not; false where the platform cannot say.</summary>
    public static bool HasEnded(Socket socket) => TcpState(socket) is TcpCloseWait or TcpLastAck or TcpClosing;

    /// <summary>The state of a TCP connection; 0 where the platform cannot say.</summary>
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
            _ = socket.GetRawSocketOption(IpProtoTcp, TcpInfo, state);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            return 0;
        }

        return state[0];
    }

    /// <summary>Who is at the other end of a connection over a Unix socket, also on Kestrel's stock transport.</summary>
    public static UnixCredentials? PeerCredentials(ConnectionContext connection) =>
        connection.Features.Get<IUnixPeerFeature>() is IUnixPeerFeature own ? own.PeerCredentials
        : connection.Features.Get<IConnectionSocketFeature>()?.Socket is Socket socket ? PeerCredentials(socket)
        : null;

    /// <summary>The process at the other end of a Unix socket (SO_PEERCRED, unix(7)); null on other platforms and after the close.</summary>
    public static UnixCredentials? PeerCredentials(Socket socket)
    {
        if (!OperatingSystem.IsLinux() || socket.AddressFamily != AddressFamily.Unix)
        {
            return null;
        }

        Span<byte> ucred = stackalloc byte[CredentialsSize];
        try
        {
            _ = socket.GetRawSocketOption(SolSocket, SoPeerCred, ucred);
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            return null;
        }

        return ReadCredentials(ucred);
    }

    /// <summary>Reads a struct ucred.</summary>
    public static UnixCredentials ReadCredentials(ReadOnlySpan<byte> ucred)
    {
        ReadOnlySpan<int> fields = MemoryMarshal.Cast<byte, int>(ucred);
        return new UnixCredentials(fields[0], (uint)fields[1], (uint)fields[2]);
    }

    /// <summary>Lets several sockets listen on one port (SO_REUSEPORT, socket(7)), or does so no longer.</summary>
    public static void SetReusePort(Socket socket, bool isOn = true)
    {
        Span<byte> on = stackalloc byte[4];
        MemoryMarshal.Write(on, isOn ? 1 : 0);
        if (OperatingSystem.IsLinux())
        {
            socket.SetRawSocketOption(SolSocket, 15, on);
        }
        else if (OperatingSystem.IsMacOS())
        {
            socket.SetRawSocketOption(0xFFFF, 0x0200, on);
        }
        else
        {
            throw new PlatformNotSupportedException("ReusePort needs Linux or macOS; leave it out on this system.");
        }
    }

    /// <summary>Whether the peer of a descriptor that cannot be closed meanwhile has ended its direction or is gone. Linux only.</summary>
    public static bool HasPeerEnded(int descriptor)
    {
        const short peerHangUp = 0x2000;
        var polled = new PollDescriptor { Descriptor = descriptor, Events = peerHangUp };
        return Poll(ref polled, 1, 0) > 0;
    }

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(ref PollDescriptor descriptor, nuint count, int timeout);

    /// <summary>Bounds how long bytes may go unacknowledged (TCP_USER_TIMEOUT, tcp(7)); nothing elsewhere than on Linux.</summary>
    public static void SetUserTimeout(Socket socket, TimeSpan timeout)
    {
        if (OperatingSystem.IsLinux())
        {
            Span<byte> milliseconds = stackalloc byte[4];
            MemoryMarshal.Write(milliseconds, (int)timeout.TotalMilliseconds);
            socket.SetRawSocketOption(IpProtoTcp, TcpUserTimeout, milliseconds);
        }
    }

    [LibraryImport("libc", EntryPoint = "ioctl")]
    private static partial int Ioctl(int descriptor, nuint request, out int value);

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Found;
    }
}
