using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Interop;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport;

/// <summary>Maps socket errors to the exceptions of Kestrel's transports.</summary>
internal static class SocketErrors
{
    /// <summary>The exception for an errno of Linux.</summary>
    public static Exception ToConnectionException(int errno) => ToConnectionException(Errno.ToException(errno));

    public static Exception ToConnectionException(SocketException error) => error.SocketErrorCode switch
    {
        SocketError.OperationAborted or SocketError.Interrupted or SocketError.NotSocket =>
            new ConnectionAbortedException("The connection was closed from this side.", error),
        SocketError.TimedOut =>
            new ConnectionResetException("The connection was lost: the peer did not answer in time.", error),
        SocketError.ConnectionReset or SocketError.ConnectionAborted or SocketError.Shutdown or SocketError.NotConnected =>
            new ConnectionResetException("The connection was reset by the peer.", error),
        _ => new ConnectionResetException($"The connection was lost: {error.Message}.", error),
    };

    /// <summary>Adds cause and remedy to an error of a Unix socket; errors of other addresses are returned unchanged.</summary>
    public static SocketException ToConnectException(SocketException error, EndPoint endPoint)
    {
        if (endPoint is not UnixDomainSocketEndPoint)
        {
            return error;
        }

        // The runtime shows an abstract name with a leading zero or @; people write @.
        string path = endPoint.ToString()!.Replace('\0', '@');
        string? reason = error.SocketErrorCode switch
        {
            SocketError.AddressNotAvailable => $"There is no socket '{path}': its server has not started, or listens on another path.",
            SocketError.ConnectionRefused => $"No server listens on '{path}': the socket's server has stopped.",
            SocketError.AccessDenied => $"Permission is denied for '{path}': connecting needs write permission for the socket and search permission for its directories.",
            _ => null,
        };
        return reason is null ? error : new SocketException((int)error.SocketErrorCode, reason);
    }

    public static bool IsTimeout(Exception? error) => error?.InnerException is SocketException { SocketErrorCode: SocketError.TimedOut };
}
