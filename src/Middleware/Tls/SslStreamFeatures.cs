using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace ByteStreams.Tls;

/// <summary>The result of a handshake of SslStream, and the stream.</summary>
/// <param name="negotiated">The result.</param>
/// <param name="stream">The stream.</param>
internal sealed class SslStreamFeatures(TlsNegotiated negotiated, SslStream stream) : TlsFeatures(negotiated), ISslStreamFeature
{
    public SslStream SslStream => stream;

    public override X509Certificate2? PeerCertificate => TryGetCertificate(out X509Certificate2? current) ? current : base.PeerCertificate;

    private bool TryGetCertificate(out X509Certificate2? certificate)
    {
        try
        {
            bool isOpen = stream.IsAuthenticated;
            certificate = isOpen ? stream.RemoteCertificate as X509Certificate2 : null;
            return isOpen;
        }
        catch (ObjectDisposedException)
        {
            // Another thread has closed the connection since IsAuthenticated was read.
            certificate = null;
            return false;
        }
    }
}
