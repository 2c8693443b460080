using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>What servers log. Ids 403 to 499 without those of <see cref="Connections.ConnectionLog"/>.</summary>
internal static partial class ServerLog
{
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

    [LoggerMessage(420, LogLevel.Critical, "The listener {Address} has failed and accepts no more clients.")]
    public static partial void AcceptLoopFailed(ILogger logger, Exception error, string address);
}
