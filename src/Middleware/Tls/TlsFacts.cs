using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>The result of a handshake for logs and snapshots. It outlives the TLS transport.</summary>
/// <param name="Version">Such as <c>1.3</c>.</param>
/// <param name="ServerName">The server name that the client sent (SNI).</param>
/// <param name="ClientName">The first URI of the client's certificate, else its common name, else its first host name.</param>
internal sealed record TlsFacts(string Version, string? ServerName, string? ClientName)
{
    public static TlsFacts From(TlsFeatures negotiated) => new(
        GetVersion(negotiated.Protocol), negotiated.ServerName, negotiated.PeerCertificate is X509Certificate2 client ? GetName(client) : null);

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
