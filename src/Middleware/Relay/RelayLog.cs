using Microsoft.Extensions.Logging;

namespace ByteStreams.Relay;

/// <summary>What relays log. Ids 650 to 699.</summary>
internal static partial class RelayLog
{
    [LoggerMessage(650, LogLevel.Information, "Connection {ConnectionId}: no upstream took it, the client gets a reset: {Failures}")]
    public static partial void NoUpstream(ILogger logger, string? connectionId, string failures);

    [LoggerMessage(651, LogLevel.Warning, "Upstream {Upstream} failed {Count} times in a row, and gets no connections for {Seconds} s: {Failure}")]
    public static partial void Ejected(ILogger logger, string upstream, int count, double seconds, string failure);

    [LoggerMessage(652, LogLevel.Information, "Upstream {Upstream} takes connections again.")]
    public static partial void Back(ILogger logger, string upstream);

    [LoggerMessage(653, LogLevel.Warning, "Upstream {Upstream} is unhealthy, {Count} checks in a row have failed: {Failure}")]
    public static partial void Unhealthy(ILogger logger, string upstream, int count, string failure);

    [LoggerMessage(654, LogLevel.Information, "Upstream {Upstream} is healthy again.")]
    public static partial void Healthy(ILogger logger, string upstream);

    [LoggerMessage(655, LogLevel.Warning, "Upstream {Upstream}: its name could not be resolved again, the addresses known stay: {Failure}")]
    public static partial void NotResolved(ILogger logger, string upstream, string failure);

    [LoggerMessage(656, LogLevel.Debug, "Connection {ConnectionId}: upstream {Upstream} could not be connected to: {Failure}")]
    public static partial void AttemptFailed(ILogger logger, string? connectionId, string upstream, string failure);

    [LoggerMessage(657, LogLevel.Error, "The TLS files towards upstreams have changed and cannot be used; what was read before stays: {Reason}")]
    public static partial void TlsBroken(ILogger logger, string reason);

    [LoggerMessage(658, LogLevel.Error, "{Count} clients refused since the last such line, because no upstream connection could be opened for them: {Reason}.")]
    public static partial void DescriptorsShort(ILogger logger, int count, string reason);

    [LoggerMessage(659, LogLevel.Debug, "Connection {ConnectionId}: it ended ({Reason}) before an upstream was connected to.")]
    public static partial void ClientGone(ILogger logger, string? connectionId, string reason);

    [LoggerMessage(669, LogLevel.Warning, "The certificate '{Subject}' in {File}, which upstreams are shown, is valid from {NotBefore:u} to {NotAfter:u}: upstreams refuse it outside of that. Replace the file; no restart is needed.")]
    public static partial void CertificateNotValid(ILogger logger, string subject, string file, DateTime notBefore, DateTime notAfter);
}
