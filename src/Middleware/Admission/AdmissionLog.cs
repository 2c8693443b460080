using Microsoft.Extensions.Logging;

namespace ByteStreams.Admission;

/// <summary>What admission logs. Ids 500 to 599.</summary>
internal static partial class AdmissionLog
{
    [LoggerMessage(500, LogLevel.Debug, "Connection {ConnectionId} from {Peer} refused: {Reason}")]
    public static partial void Refused(ILogger logger, string connectionId, string peer, ConnectionCloseReason reason);

    [LoggerMessage(501, LogLevel.Information,
        "All endpoints together take {Most} connections: derived from the limit of {Descriptors} open descriptors (ulimit -n, LimitNOFILE), of which {AtRest} are in use, and from {Memory} MiB of memory. Set ByteStreams:MaxConnections for another number.")]
    public static partial void TotalDerived(ILogger logger, int most, long descriptors, long atRest, long memory);

    [LoggerMessage(502, LogLevel.Warning,
        "ByteStreams:MaxConnections is {Most}, but the process has descriptors and memory for {Capacity} connections: clients beyond that are refused when descriptors are short. Raise the limit of {Descriptors} open descriptors (ulimit -n, LimitNOFILE), or lower MaxConnections.")]
    public static partial void TotalTooHigh(ILogger logger, int most, int capacity, long descriptors);
}
