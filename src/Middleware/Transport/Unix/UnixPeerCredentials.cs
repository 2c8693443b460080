using System.Net.Sockets;
using System.Runtime.InteropServices;
using ByteStreams.Transport.Interop;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace ByteStreams.Transport.Unix;

/// <summary>Reads the credentials of the peer of a Unix socket (SO_PEERCRED, unix(7)). Linux only; null elsewhere.</summary>
internal static class UnixPeerCredentials
{
    /// <summary>The credentials of a connection's peer, also on Kestrel's own transport; null where it is no Unix socket.</summary>
    public static UnixCredentials? For(ConnectionContext connection) =>
        connection.Features.Get<IUnixPeerFeature>() is IUnixPeerFeature own ? own.PeerCredentials
        : connection.Features.Get<IConnectionSocketFeature>()?.Socket is Socket socket ? For(socket)
        : null;

    /// <summary>The credentials of a socket's peer; null where it is no Unix socket, and after the close.</summary>
    public static UnixCredentials? For(Socket socket)
    {
        if (!OperatingSystem.IsLinux() || socket.AddressFamily != AddressFamily.Unix)
        {
            return null;
        }

        Span<byte> ucred = stackalloc byte[SocketConstants.CredentialsSize];
        try
        {
            _ = socket.GetRawSocketOption(SocketConstants.SolSocket, SocketConstants.SoPeerCred, ucred);
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            return null;
        }

        return From(ucred);
    }

    /// <summary>Reads a struct ucred.</summary>
    public static UnixCredentials From(ReadOnlySpan<byte> ucred)
    {
        ReadOnlySpan<int> fields = MemoryMarshal.Cast<byte, int>(ucred);
        return new UnixCredentials(fields[0], (uint)fields[1], (uint)fields[2]);
    }
}
