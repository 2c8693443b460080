using Microsoft.Extensions.Logging;

namespace ByteStreams.Telemetry;

/// <summary>What telemetry logs. Ids 700 to 799.</summary>
internal static partial class TelemetryLog
{
    /// <summary>The category of what is logged about the log itself.</summary>
    public const string OutputCategory = "ByteStreams.Log";

    [LoggerMessage(700, LogLevel.Information,
        "Connection {ConnectionId} ended: {Reason}. Endpoint {Endpoint}, handler {Handler}, peer {Peer}, proxy {Proxy}, TLS {TlsVersion}, server name {ServerName}, client {ClientName}, upstream {Upstream}, {BytesReceived} bytes in, {BytesSent} bytes out, first byte after {FirstByteMilliseconds} ms, {DurationMilliseconds} ms in all.")]
    public static partial void ConnectionEnded(
        ILogger logger, string connectionId, string reason, string endpoint, string handler, string peer, string proxy, string tlsVersion,
        string serverName, string clientName, string upstream, long bytesReceived, long bytesSent, string firstByteMilliseconds, long durationMilliseconds);

    [LoggerMessage(710, LogLevel.Debug, "Connection {ConnectionId} {Direction} {Count} bytes, {Shown} of them shown:{Dump}")]
    public static partial void Bytes(ILogger logger, string connectionId, string direction, long count, int shown, string dump);

    [LoggerMessage(711, LogLevel.Debug, "Connection {ConnectionId} {Direction} the end.")]
    public static partial void End(ILogger logger, string connectionId, string direction);

    [LoggerMessage(720, LogLevel.Warning, "{Count} log messages were dropped: standard output or standard error was not read, or could not be written.")]
    public static partial void LogDropped(ILogger logger, long count);
}
