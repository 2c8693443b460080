using Microsoft.Extensions.Logging;

namespace ByteStreams.Tls;

/// <summary>The log messages of TLS. Event ids 200 to 299; 200 is in <see cref="Connections.ConnectionLog"/>.</summary>
internal static partial class TlsLog
{
    [LoggerMessage(201, LogLevel.Information, "Endpoint {Endpoint}: certificate {File} reloaded. New connections use {Subject}, valid until {NotAfter:u}.")]
    public static partial void CertificateReloaded(ILogger logger, string endpoint, string file, string subject, DateTime notAfter);

    [LoggerMessage(202, LogLevel.Error, "Endpoint {Endpoint}: reload of certificate {File} failed; keeping the previous certificate: {Reason}")]
    public static partial void CertificateReloadFailed(ILogger logger, string endpoint, string file, string reason);

    [LoggerMessage(203, LogLevel.Information, "Endpoint {Endpoint}: client authorities {File} reloaded, {Count} authorities.")]
    public static partial void AuthoritiesReloaded(ILogger logger, string endpoint, string file, int count);

    [LoggerMessage(204, LogLevel.Warning, "Endpoint {Endpoint}: certificate '{Subject}' in {File} expired at {NotAfter:u}. It is still in use and clients reject it. Replace the file; no restart is needed.")]
    public static partial void CertificateExpired(ILogger logger, string endpoint, string subject, string file, DateTime notAfter);

    [LoggerMessage(205, LogLevel.Warning, "Endpoint {Endpoint}: certificate '{Subject}' in {File} is not valid before {NotBefore:u}. It is in use and clients reject it until then. Check the clock, or replace the file; no restart is needed.")]
    public static partial void CertificateNotYetValid(ILogger logger, string endpoint, string subject, string file, DateTime notBefore);

    [LoggerMessage(206, LogLevel.Warning, "Endpoint {Endpoint}: certificate '{Subject}' in {File} expires at {NotAfter:u}. Replace the file before that time; no restart is needed.")]
    public static partial void CertificateExpiring(ILogger logger, string endpoint, string subject, string file, DateTime notAfter);

    [LoggerMessage(207, LogLevel.Warning, "Endpoint {Endpoint}: client authority '{Subject}' in {File} is valid from {NotBefore:u} to {NotAfter:u} only; clients with its certificates are rejected outside of that period. Replace or remove it; no restart is needed.")]
    public static partial void AuthorityNotValid(ILogger logger, string endpoint, string subject, string file, DateTime notBefore, DateTime notAfter);

    [LoggerMessage(208, LogLevel.Debug, "Endpoint {Endpoint}: TLS by {Engine}.")]
    public static partial void EngineSelected(ILogger logger, string endpoint, TlsEngine engine);

    [LoggerMessage(210, LogLevel.Debug, "Connection {ConnectionId}: the client closed TLS without close_notify.")]
    public static partial void ClientTruncated(ILogger logger, string connectionId);

    [LoggerMessage(211, LogLevel.Debug, "Connection {ConnectionId}: upstream {Upstream} closed TLS without close_notify.")]
    public static partial void UpstreamTruncated(ILogger logger, string connectionId, string upstream);
}
