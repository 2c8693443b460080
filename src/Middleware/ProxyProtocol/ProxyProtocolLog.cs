using Microsoft.Extensions.Logging;

namespace ByteStreams.ProxyProtocol;

/// <summary>What the PROXY protocol logs. Ids 600 to 699.</summary>
internal static partial class ProxyProtocolLog
{
    [LoggerMessage(600, LogLevel.Information, "Connection {ConnectionId} from {Peer} is refused: {Reason}")]
    public static partial void Refused(ILogger logger, string connectionId, string peer, string reason);
}
