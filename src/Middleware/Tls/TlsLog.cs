using Microsoft.Extensions.Logging;

namespace ByteStreams.Tls;

/// <summary>What TLS logs. Ids 200 to 299.</summary>
internal static partial class TlsLog
{
    [LoggerMessage(201, LogLevel.Information, "Endpoint {Endpoint}: the certificate {File} was replaced. New connections get {Subject}, valid to {NotAfter:u}.")]
    public static partial void CertificateReplaced(ILogger logger, string endpoint, string file, string subject, DateTime notAfter);

    [LoggerMessage(202, LogLevel.Error, "Endpoint {Endpoint}: the certificate {File} has changed and cannot be used; the last good one stays: {Reason}")]
    public static partial void CertificateBroken(ILogger logger, string endpoint, string file, string reason);

    [LoggerMessage(203, LogLevel.Information, "Endpoint {Endpoint}: the clients' authorities in {File} were replaced; there are {Count} now.")]
    public static partial void AuthoritiesReplaced(ILogger logger, string endpoint, string file, int count);

    [LoggerMessage(204, LogLevel.Warning, "Endpoint {Endpoint}: the certificate '{Subject}' in {File} expired at {NotAfter:u}. It is still served, and clients refuse it. Replace the file; no restart is needed.")]
    public static partial void CertificateExpired(ILogger logger, string endpoint, string subject, string file, DateTime notAfter);

    [LoggerMessage(205, LogLevel.Warning, "Endpoint {Endpoint}: the certificate '{Subject}' in {File} is not valid before {NotBefore:u}. It is served, and clients refuse it until then. Check the clock, or replace the file; no restart is needed.")]
    public static partial void CertificateNotYetValid(ILogger logger, string endpoint, string subject, string file, DateTime notBefore);

    [LoggerMessage(206, LogLevel.Warning, "Endpoint {Endpoint}: the certificate '{Subject}' in {File} expires at {NotAfter:u}. Replace the file before; no restart is needed.")]
    public static partial void CertificateExpiring(ILogger logger, string endpoint, string subject, string file, DateTime notAfter);

    [LoggerMessage(207, LogLevel.Warning, "Endpoint {Endpoint}: the clients' authority '{Subject}' in {File} is valid from {NotBefore:u} to {NotAfter:u} only: clients with its certificates are refused outside of that. Replace it in the file, or remove it; no restart is needed.")]
    public static partial void AuthorityNotValid(ILogger logger, string endpoint, string subject, string file, DateTime notBefore, DateTime notAfter);

    [LoggerMessage(210, LogLevel.Debug, "Connection {ConnectionId}: the client ended TLS without close_notify.")]
    public static partial void ClientTruncated(ILogger logger, string connectionId);

    [LoggerMessage(211, LogLevel.Debug, "Connection {ConnectionId}: upstream {Upstream} ended TLS without close_notify.")]
    public static partial void UpstreamTruncated(ILogger logger, string connectionId, string upstream);
}
