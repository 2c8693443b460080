using Microsoft.Extensions.Logging;

namespace ByteStreams.Tls;

/// <summary>What TLS logs. Ids 200 to 299.</summary>
internal static partial class TlsLog
{
    [LoggerMessage(200, LogLevel.Information, "Connection {ConnectionId}: the TLS handshake failed: {Reason}")]
    public static partial void HandshakeFailed(ILogger logger, string connectionId, string reason);
}
