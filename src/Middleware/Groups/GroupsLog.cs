using Microsoft.Extensions.Logging;

namespace ByteStreams.Groups;

internal static partial class GroupsLog
{
    [LoggerMessage(730, LogLevel.Error, "A message could not be written to connection {ConnectionId}: its pipe has failed.")]
    public static partial void DeliveryFailed(ILogger logger, Exception error, string connectionId);

    [LoggerMessage(731, LogLevel.Debug, "Messages that waited for connection {ConnectionId} were dropped: the connection has ended.")]
    public static partial void BacklogDropped(ILogger logger, Exception error, string connectionId);

    [LoggerMessage(733, LogLevel.Error, "Connection {ConnectionId} could not be closed: its pipe has failed.")]
    public static partial void CloseFailed(ILogger logger, Exception error, string connectionId);

    [LoggerMessage(732, LogLevel.Information, "Connection {ConnectionId} is aborted, because it does not read what others send to it: {Cause}.")]
    public static partial void SlowConsumer(ILogger logger, string connectionId, string cause);
}
