using Microsoft.Extensions.Logging;

namespace ByteStreams.Server;

/// <summary>What servers log. Ids 403 to 499 without those of <see cref="Connections.ConnectionLog"/>.</summary>
internal static partial class ServerLog
{
    [LoggerMessage(403, LogLevel.Warning, "Endpoint {Endpoint}: {Count} connections did not close by the shutdown deadline and are aborted.")]
    public static partial void DrainDeadline(ILogger logger, string? endpoint, int count);

    [LoggerMessage(406, LogLevel.Warning,
        "Connection {ConnectionId} did not close by the shutdown deadline and is aborted. Endpoint {Endpoint}, handler {Handler}, peer {Peer}, {AgeSeconds} s old, {BytesReceived} bytes in, {BytesSent} bytes out.")]
    public static partial void ConnectionAborted(
        ILogger logger, string connectionId, string? endpoint, string handler, string peer, long ageSeconds, long bytesReceived, long bytesSent);

    [LoggerMessage(407, LogLevel.Warning, "Endpoint {Endpoint}: {Count} more connections are aborted.")]
    public static partial void MoreAborted(ILogger logger, string? endpoint, int count);

    [LoggerMessage(404, LogLevel.Error, "Endpoint {Endpoint}: {Count} handlers did not return after their connections were aborted, and are abandoned.")]
    public static partial void HandlersLeft(ILogger logger, string? endpoint, int count);

    [LoggerMessage(420, LogLevel.Critical, "Listener {Address} failed and accepts no more clients.")]
    public static partial void AcceptLoopFailed(ILogger logger, Exception error, string address);
}
