using Microsoft.Extensions.Logging;

namespace ByteStreams.Groups;

internal static partial class GroupsLog
{
    [LoggerMessage(730, LogLevel.Error, "Delivery to connection {ConnectionId} failed: its PipeWriter threw an exception.")]
    public static partial void DeliveryFailed(ILogger logger, Exception error, string connectionId);

    [LoggerMessage(731, LogLevel.Debug, "Queued messages for connection {ConnectionId} dropped: the connection is closed.")]
    public static partial void BacklogDropped(ILogger logger, Exception error, string connectionId);

    [LoggerMessage(733, LogLevel.Error, "Closing connection {ConnectionId} failed: its pipe threw an exception.")]
    public static partial void CloseFailed(ILogger logger, Exception error, string connectionId);

    [LoggerMessage(732, LogLevel.Information, "Connection {ConnectionId} aborted as a slow consumer: {Cause}.")]
    public static partial void SlowConsumer(ILogger logger, string connectionId, string cause);
}
