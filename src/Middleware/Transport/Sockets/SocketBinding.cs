using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport.Sockets;

/// <summary>Opens, binds and closes listening sockets, and explains why an address cannot be bound.</summary>
internal static class SocketBinding
{
    /// <summary>Opens a socket that can be bound to <paramref name="endPoint"/>.</summary>
    /// <remarks>
    /// The runtime sets SO_REUSEADDR on a socket whose protocol is TCP. Its own option of that name would set SO_REUSEPORT too, and a port
    /// in use would be shared without an error. An unspecified protocol leaves SO_REUSEADDR unset; the kernel chooses TCP for it as well.
    /// </remarks>
    public static Socket Open(EndPoint endPoint, ByteStreamListenOptions options) => new(
        endPoint.AddressFamily,
        SocketType.Stream,
        endPoint is UnixDomainSocketEndPoint || (!options.ReuseAddress && !OperatingSystem.IsWindows()) ? ProtocolType.Unspecified : ProtocolType.Tcp);

    /// <summary>Sets the options that count before the bind, and binds.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="address">The address.</param>
    /// <param name="options">The listener's options.</param>
    /// <param name="shared">Whether another listener of this process shares the port (SO_REUSEPORT).</param>
    /// <returns>The bound address, with the port that the system chose for port 0.</returns>
    /// <exception cref="IOException">It cannot be bound; the message names the address, the cause and the remedy.</exception>
    public static EndPoint Bind(Socket socket, ListenAddress address, ByteStreamListenOptions options, bool shared)
    {
        if (options.ReusePort || shared)
        {
            SocketOptions.SetReusePort(socket, isOn: true);
        }

        if (address.EndPoint.AddressFamily == AddressFamily.InterNetworkV6)
        {
            socket.DualMode = address.IsDualMode;
        }

        // Accepted sockets inherit both, and a receive buffer counts for the window only if it is set before the handshake.
        SocketOptions.SetBuffers(socket, options);
        try
        {
            socket.Bind(address.EndPoint);
        }
        catch (SocketException error)
        {
            throw Explain(error, address.EndPoint, "bound");
        }

        return socket.LocalEndPoint!;
    }

    /// <summary>The exception for an address that cannot be used, with the cause and the remedy.</summary>
    /// <param name="error">The system's error.</param>
    /// <param name="endPoint">The address.</param>
    /// <param name="what">The operation that failed, as a participle: "bound".</param>
    public static Exception Explain(SocketException error, EndPoint endPoint, string what) => error.SocketErrorCode switch
    {
        SocketError.AddressAlreadyInUse => new AddressInUseException(
            $"{endPoint} cannot be {what}: the port is already in use. "
            + (endPoint is IPEndPoint ip && OwnPorts.Contains(ip.Port)
                ? "This program listens on it itself, on another endpoint or its HTTP side: use another port."
                : "Stop the other program, or use another port."), error),
        SocketError.AddressNotAvailable => new IOException(
            $"{endPoint} cannot be {what}: this machine has no such address. Use one of its own, or 0.0.0.0 or [::].", error),
        SocketError.AccessDenied => new IOException(
            $"{endPoint} cannot be {what}: permission is denied. Ports below 1024 usually need a privilege (CAP_NET_BIND_SERVICE); use a higher one.", error),
        _ => new IOException($"{endPoint} cannot be {what}: {error.Message}.", error),
    };

    /// <summary>
    /// Closes a socket's descriptor only. Disposing or finalizing the <see cref="Socket"/> would shut down the listening socket, which other
    /// processes may share, and delete by its path the file that the runtime has bound.
    /// </summary>
    [SuppressMessage("Usage", "CA1816", Justification = "The socket's finalizer would delete a file that this listener does not own.")]
    public static void Release(Socket socket)
    {
        GC.SuppressFinalize(socket);
        socket.SafeHandle.Dispose();
    }
}
