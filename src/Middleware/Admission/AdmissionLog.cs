using Microsoft.Extensions.Logging;

namespace ByteStreams.Admission;

/// <summary>What admission logs. Ids 500 to 599.</summary>
internal static partial class AdmissionLog
{
    [LoggerMessage(500, LogLevel.Debug, "Connection {ConnectionId} from {Peer} is refused: {Reason}")]
    public static partial void Refused(ILogger logger, string connectionId, string peer, ConnectionEndReason reason);

    [LoggerMessage(501, LogLevel.Information,
        "All endpoints together take {Most} connections: derived from the limit of {Descriptors} open descriptors (ulimit -n, LimitNOFILE). Set ByteStreams:MaxConnections for another number.")]
    public static partial void TotalDerived(ILogger logger, int most, long descriptors);
}
