using Microsoft.Extensions.Logging;

namespace ByteStreams.Tls;

/// <summary>What TLS logs. Ids 200 to 299.</summary>
internal static partial class TlsLog
{
    [LoggerMessage(200, LogLevel.Information, "Connection {ConnectionId} from {Peer}: the TLS handshake failed ({Reason}): {Explanation}")]
    public static partial void HandshakeFailed(ILogger logger, string connectionId, string peer, string reason, string explanation);

    [LoggerMessage(201, LogLevel.Information, "Endpoint {Endpoint}: the certificate {File} was replaced. New connections get {Subject}, valid to {NotAfter:u}.")]
    public static partial void CertificateReplaced(ILogger logger, string endpoint, string file, string subject, DateTime notAfter);

    [LoggerMessage(202, LogLevel.Error, "Endpoint {Endpoint}: the certificate {File} has changed and cannot be used; the last good one stays: {Reason}")]
    public static partial void CertificateBroken(ILogger logger, string endpoint, string file, string reason);

    [LoggerMessage(203, LogLevel.Information, "Endpoint {Endpoint}: the clients' authorities in {File} were replaced; there are {Count} now.")]
    public static partial void AuthoritiesReplaced(ILogger logger, string endpoint, string file, int count);
}
