using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Tls.OpenSsl;

namespace ByteStreams.Tls;

/// <summary>What a handshake has negotiated.</summary>
/// <param name="Protocol">The version.</param>
/// <param name="CipherSuite">The cipher suite.</param>
/// <param name="ApplicationProtocol">The application protocol (ALPN); the default value for none.</param>
/// <param name="ServerName">The requested server name (SNI); null for none.</param>
/// <param name="PeerCertificate">The peer's certificate; null for none.</param>
internal sealed record TlsNegotiated(
    SslProtocols Protocol, TlsCipherSuite CipherSuite, SslApplicationProtocol ApplicationProtocol, string? ServerName, X509Certificate2? PeerCertificate)
{
    /// <summary>Reads a stream once, because a disposed SslStream throws, and a close disposes it on any thread.</summary>
    public static TlsNegotiated From(SslStream stream) => new(
        stream.SslProtocol, stream.NegotiatedCipherSuite, stream.NegotiatedApplicationProtocol,
        stream.TargetHostName is { Length: > 0 } name ? name : null, stream.RemoteCertificate as X509Certificate2);

    public static TlsNegotiated From(OpenSslSide side) =>
        new(side.Protocol, side.CipherSuite, side.ApplicationProtocol, side.ServerName, side.PeerCertificate);
}
