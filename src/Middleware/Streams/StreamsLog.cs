using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>What the pair logs. Ids 100 to 199.</summary>
internal static partial class StreamsLog
{
    [LoggerMessage(100, LogLevel.Warning,
        "Connection {ConnectionId}: bytes were written after the connection was closed or lost, and dropped. Further ones are dropped silently.")]
    public static partial void DroppedWrite(ILogger logger, string? connectionId);

    [LoggerMessage(101, LogLevel.Warning,
        "Connection {ConnectionId} was collected without being closed, and is closed now: dispose it, or close its writer. It was opened {OpenedAt}.")]
    public static partial void Abandoned(ILogger logger, string connectionId, string openedAt);
}
