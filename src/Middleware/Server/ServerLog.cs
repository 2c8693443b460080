using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>What servers and their handlers log. Ids 400 to 499.</summary>
internal static partial class ServerLog
{
    [LoggerMessage(400, LogLevel.Error, "Connection {ConnectionId}: the handler failed; the client gets a reset.")]
    public static partial void HandlerFailed(ILogger logger, Exception error, string connectionId);

    [LoggerMessage(401, LogLevel.Information, "Connection {ConnectionId}: the connection was lost while the handler was at work: {Reason}")]
    public static partial void ConnectionLost(ILogger logger, string connectionId, string reason);

    [LoggerMessage(402, LogLevel.Debug, "Connection {ConnectionId}: the handler was cancelled because the server stops.")]
    public static partial void HandlerStopped(ILogger logger, string connectionId);

    [LoggerMessage(403, LogLevel.Warning, "Endpoint {Endpoint}: {Count} connections had not ended at the shutdown deadline, and are aborted.")]
    public static partial void DrainDeadline(ILogger logger, string? endpoint, int count);

    [LoggerMessage(406, LogLevel.Warning,
        "Connection {ConnectionId} did not end by the shutdown deadline and is aborted. Endpoint {Endpoint}, handler {Handler}, peer {Peer}, {AgeSeconds} s old, {BytesReceived} bytes in, {BytesSent} bytes out.")]
    public static partial void ConnectionCut(
        ILogger logger, string connectionId, string? endpoint, string handler, string peer, long ageSeconds, long bytesReceived, long bytesSent);

    [LoggerMessage(407, LogLevel.Warning, "Endpoint {Endpoint}: {Count} more connections are aborted likewise.")]
    public static partial void MoreCut(ILogger logger, string? endpoint, int count);

    [LoggerMessage(404, LogLevel.Error, "Endpoint {Endpoint}: {Count} handlers have not returned although their connections were aborted, and are left behind.")]
    public static partial void HandlersLeft(ILogger logger, string? endpoint, int count);

    [LoggerMessage(405, LogLevel.Error, "Connection {ConnectionId}: connection middleware failed; the client gets a reset.")]
    public static partial void MiddlewareFailed(ILogger logger, Exception error, string connectionId);

    [LoggerMessage(408, LogLevel.Error, "Connection {ConnectionId}: a callback that is registered with the stopping token failed; the server goes on stopping.")]
    public static partial void StoppingCallbackFailed(ILogger logger, Exception error, string connectionId);

    [LoggerMessage(410, LogLevel.Information, "Connection {ConnectionId}: the connection ended before the handler had read what it waited for: {Reason}")]
    public static partial void ReadIncomplete(ILogger logger, string connectionId, string reason);

    [LoggerMessage(411, LogLevel.Information, "Connection {ConnectionId}: the client exceeded the read limit and gets a reset: {Reason}")]
    public static partial void LimitExceeded(ILogger logger, string connectionId, string reason);

    [LoggerMessage(419, LogLevel.Debug, "Connection {ConnectionId}: the client ended TLS without close_notify while the handler was reading.")]
    public static partial void ConnectionTruncated(ILogger logger, string connectionId);

    [LoggerMessage(420, LogLevel.Critical, "The listener {Address} has failed and accepts no more clients.")]
    public static partial void AcceptLoopFailed(ILogger logger, Exception error, string address);
}
