using Microsoft.Extensions.Logging;

namespace ByteStreams.ByteLogging;

/// <summary>The lines of byte logging. Ids 710 to 719.</summary>
internal static partial class ByteLoggingLog
{
    [LoggerMessage(710, LogLevel.Debug, "Connection {ConnectionId} {Direction} {Count} bytes, {Shown} of them shown:{Dump}")]
    public static partial void Bytes(ILogger logger, string connectionId, string direction, long count, int shown, string dump);

    [LoggerMessage(711, LogLevel.Debug, "Connection {ConnectionId} {Direction} EOF.")]
    public static partial void End(ILogger logger, string connectionId, string direction);
}
