using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport;

/// <summary>Turns socket errors into the exceptions that Kestrel's users know.</summary>
internal static class SocketErrors
{
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

    public static bool IsTimeout(Exception? error) => error?.InnerException is SocketException { SocketErrorCode: SocketError.TimedOut };
}
