using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Connections;

namespace ByteStreams.Tls;

/// <summary>Reads the metadata of a connection from its TLS stream.</summary>
internal static class TlsFacts
{
    public static TlsMetadata Of(SslStream stream) => new(
        VersionOf(stream.SslProtocol),
        stream.TargetHostName is { Length: > 0 } name ? name : null,
        stream.RemoteCertificate is X509Certificate2 client ? NameOf(client) : null);

    public static string VersionOf(SslProtocols protocol) => protocol switch
    {
        SslProtocols.Tls13 => "1.3",
        SslProtocols.Tls12 => "1.2",
        _ => protocol.ToString(),
    };

    /// <summary>Names that cannot be read are none. The authority has vouched for the certificate, and nobody here has asked for a name.</summary>
    private static string? NameOf(X509Certificate2 client)
    {
        try
        {
            return CertificateNames.Of(client).Best;
        }
        catch (CryptographicException)
        {
            return null;
        }
    }
}
