using Microsoft.Extensions.Logging;

namespace ByteStreams.Relay;

/// <summary>The log messages of relays. Event ids 650 to 699.</summary>
internal static partial class RelayLog
{
    [LoggerMessage(650, LogLevel.Information, "Connection {ConnectionId}: no upstream available, connection reset: {Failures}")]
    public static partial void NoUpstream(ILogger logger, string? connectionId, string failures);

    [LoggerMessage(651, LogLevel.Warning, "Upstream {Upstream} ejected for {Seconds} s after {Count} consecutive connect failures: {Failure}")]
    public static partial void Ejected(ILogger logger, string upstream, double seconds, int count, string failure);

    [LoggerMessage(652, LogLevel.Information, "Upstream {Upstream} accepts connections again; no longer ejected.")]
    public static partial void Readmitted(ILogger logger, string upstream);

    [LoggerMessage(653, LogLevel.Warning, "Upstream {Upstream} is unhealthy after {Count} consecutive failed health checks: {Failure}")]
    public static partial void Unhealthy(ILogger logger, string upstream, int count, string failure);

    [LoggerMessage(654, LogLevel.Information, "Upstream {Upstream} is healthy again.")]
    public static partial void Healthy(ILogger logger, string upstream);

    [LoggerMessage(655, LogLevel.Warning, "Upstream {Upstream}: name resolution failed; keeping the known addresses: {Failure}")]
    public static partial void ResolutionFailed(ILogger logger, string upstream, string failure);

    [LoggerMessage(656, LogLevel.Debug, "Connection {ConnectionId}: connect to upstream {Upstream} failed: {Failure}")]
    public static partial void ConnectFailed(ILogger logger, string? connectionId, string upstream, string failure);

    [LoggerMessage(657, LogLevel.Error, "Reload of the TLS files for upstreams failed; keeping the previous ones: {Reason}")]
    public static partial void TlsReloadFailed(ILogger logger, string reason);

    [LoggerMessage(658, LogLevel.Error, "{Count} clients rejected since the last such message, because no upstream connection could be opened: {Reason}.")]
    public static partial void DescriptorShortage(ILogger logger, int count, string reason);

    [LoggerMessage(659, LogLevel.Debug, "Connection {ConnectionId}: closed ({Reason}) before an upstream connection was open.")]
    public static partial void ClientGone(ILogger logger, string? connectionId, string reason);

    [LoggerMessage(669, LogLevel.Warning, "Client certificate '{Subject}' in {File} for upstreams is valid from {NotBefore:u} to {NotAfter:u}; upstreams reject it outside of that period. Replace the file; no restart is needed.")]
    public static partial void CertificateNotValid(ILogger logger, string subject, string file, DateTime notBefore, DateTime notAfter);
}
