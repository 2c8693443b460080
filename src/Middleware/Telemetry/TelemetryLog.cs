using Microsoft.Extensions.Logging;

namespace ByteStreams.Telemetry;

/// <summary>What telemetry logs. Ids 700 to 709.</summary>
internal static partial class TelemetryLog
{
    [LoggerMessage(700, LogLevel.Information,
        "Connection {ConnectionId} ended: {Reason}. Endpoint {Endpoint}, handler {Handler}, peer {Peer}, proxy {Proxy}, TLS {TlsVersion}, server name {ServerName}, client {ClientName}, upstream {Upstream}, {BytesReceived} bytes in, {BytesSent} bytes out, first byte after {FirstByteMilliseconds} ms, {DurationMilliseconds} ms in all.")]
    public static partial void ConnectionEnded(
        ILogger logger, string connectionId, string reason, string endpoint, string handler, string peer, string proxy, string tlsVersion,
        string serverName, string clientName, string upstream, long bytesReceived, long bytesSent, string firstByteMilliseconds, long durationMilliseconds);
}
