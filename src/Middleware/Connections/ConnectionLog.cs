using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Connections;

/// <summary>What is logged of a connection and its handler. The server's ids 400 to 499, and 200 of TLS.</summary>
internal static partial class ConnectionLog
{
    [LoggerMessage(200, LogLevel.Information, "Connection {ConnectionId} from {Peer}: TLS handshake failed (server name {ServerName}, reason {Reason}): {Explanation}")]
    private static partial void HandshakeFailed(ILogger logger, string connectionId, string peer, string serverName, string reason, string explanation);

    /// <summary>Logs a failed TLS handshake. The name and the explanation may be text of the peer.</summary>
    public static void HandshakeFailed(ILogger logger, ConnectionContext connection, ConnectionCloseReason reason, string explanation, string? serverName) =>
        HandshakeFailed(
            logger, connection.ConnectionId, LogText.Of(connection.RemoteEndPoint), serverName is null ? "-" : LogText.Escape(serverName),
            CloseReasonText.GetText(reason), LogText.Escape(explanation));

    [LoggerMessage(400, LogLevel.Error, "Connection {ConnectionId}: the handler failed; the connection is reset.")]
    public static partial void HandlerFailed(ILogger logger, Exception error, string connectionId);

    [LoggerMessage(401, LogLevel.Information, "Connection {ConnectionId} lost while its handler was running: {Reason}")]
    public static partial void ConnectionLost(ILogger logger, string connectionId, string reason);

    [LoggerMessage(402, LogLevel.Debug, "Connection {ConnectionId}: the handler was cancelled because the server stops.")]
    public static partial void HandlerStopped(ILogger logger, string connectionId);

    [LoggerMessage(405, LogLevel.Error, "Connection {ConnectionId}: connection middleware failed; the connection is reset.")]
    public static partial void MiddlewareFailed(ILogger logger, Exception error, string connectionId);

    [LoggerMessage(408, LogLevel.Error, "Connection {ConnectionId}: a callback registered with the stopping token failed; the server continues to stop.")]
    public static partial void StoppingCallbackFailed(ILogger logger, Exception error, string connectionId);

    [LoggerMessage(410, LogLevel.Information, "Connection {ConnectionId} closed by the peer before the handler had read what it waited for: {Reason}")]
    public static partial void ReadIncomplete(ILogger logger, string connectionId, string reason);

    [LoggerMessage(411, LogLevel.Information, "Connection {ConnectionId}: the client exceeded the read limit; the connection is reset: {Reason}")]
    public static partial void LimitExceeded(ILogger logger, string connectionId, string reason);

    [LoggerMessage(412, LogLevel.Information, "Connection {ConnectionId}: the client sent an invalid frame; the connection is reset: {Reason}")]
    public static partial void FrameInvalid(ILogger logger, string connectionId, string reason);

    [LoggerMessage(419, LogLevel.Debug, "Connection {ConnectionId}: the client closed TLS without close_notify while the handler was reading.")]
    public static partial void ConnectionTruncated(ILogger logger, string connectionId);
}
