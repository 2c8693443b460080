using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>What a handshake has agreed on: stays with the connection when TLS has ended, for the summary.</summary>
/// <param name="Version">Such as <c>1.3</c>.</param>
/// <param name="ServerName">The name that the client asked for, as it sent it.</param>
/// <param name="ClientName">The first URI of the client's certificate, else its common name, as it stands there.</param>
internal sealed record TlsFacts(string Version, string? ServerName, string? ClientName)
{
    public static TlsFacts Of(SslStream stream) => new(
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
