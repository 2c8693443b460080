using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Connections;

namespace ByteStreams.Tls;

/// <summary>Creates the metadata of a connection from the result of its TLS handshake.</summary>
internal static class TlsMetadataReader
{
    public static TlsMetadata Read(TlsFeatures negotiated) => new(
        GetVersion(negotiated.Protocol), negotiated.ServerName, negotiated.PeerCertificate is X509Certificate2 client ? GetName(client) : null);

    /// <summary>Returns the version as OpenTelemetry writes it, such as <c>1.3</c>.</summary>
    public static string GetVersion(SslProtocols protocol) => protocol switch
    {
        SslProtocols.Tls13 => "1.3",
        SslProtocols.Tls12 => "1.2",
        _ => protocol.ToString(),
    };

    /// <summary>Returns null for malformed names, because the certificate is trusted and its names are only logged.</summary>
    private static string? GetName(X509Certificate2 client)
    {
        try
        {
            return CertificateNames.From(client).DisplayName;
        }
        catch (CryptographicException)
        {
            return null;
        }
    }
}
