using Microsoft.Extensions.Logging;

namespace ByteStreams.ProxyProtocol;

/// <summary>The log messages of the PROXY protocol. Event ids 600 to 649.</summary>
internal static partial class ProxyProtocolLog
{
    [LoggerMessage(600, LogLevel.Information, "Connection {ConnectionId} from {Peer} rejected: {Reason}")]
    public static partial void Rejected(ILogger logger, string connectionId, string peer, string reason);
}
