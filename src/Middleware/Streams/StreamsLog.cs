using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>Log messages of the reader and the writer: event ids 100 to 199.</summary>
internal static partial class StreamsLog
{
    [LoggerMessage(100, LogLevel.Warning,
        "Connection {ConnectionId}: bytes written after the connection was closed or reset were dropped; further writes are dropped without a message.")]
    public static partial void DroppedWrite(ILogger logger, string? connectionId);

    [LoggerMessage(101, LogLevel.Warning,
        "Connection {ConnectionId} was garbage-collected without a close and is closed now; dispose the connection or close its writer. It was opened {OpenedAt}.")]
    public static partial void Abandoned(ILogger logger, string connectionId, string openedAt);
}
