using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>
/// What a handshake has agreed on, read once after it: an SslStream answers no more once it is disposed, which the end of the
/// connection does on any thread.
/// </summary>
/// <param name="stream">A stream that has done its handshake.</param>
internal sealed class NegotiatedTls(SslStream stream)
{
    public SslProtocols Protocol { get; } = stream.SslProtocol;

    public TlsCipherSuite CipherSuite { get; } = stream.NegotiatedCipherSuite;

    public SslApplicationProtocol ApplicationProtocol { get; } = stream.NegotiatedApplicationProtocol;

    /// <summary>The name that the client asked for, as it sent it; null where it asked for none.</summary>
    public string? ServerName { get; } = stream.TargetHostName is { Length: > 0 } name ? name : null;

    /// <summary>Not disposed with the stream, because it was read.</summary>
    public X509Certificate2? PeerCertificate { get; } = stream.RemoteCertificate as X509Certificate2;

#pragma warning disable SYSLIB0058 // ITlsHandshakeFeature still has these; the cipher suite says it all.
    public CipherAlgorithmType CipherAlgorithm { get; } = stream.CipherAlgorithm;

    public int CipherStrength { get; } = stream.CipherStrength;

    public HashAlgorithmType HashAlgorithm { get; } = stream.HashAlgorithm;

    public int HashStrength { get; } = stream.HashStrength;

    public ExchangeAlgorithmType KeyExchangeAlgorithm { get; } = stream.KeyExchangeAlgorithm;

    public int KeyExchangeStrength { get; } = stream.KeyExchangeStrength;
#pragma warning restore SYSLIB0058

    /// <summary>The peer's certificate as the stream has it now. Answers false once the stream is disposed.</summary>
    public static bool TryGetCertificate(SslStream stream, out X509Certificate2? certificate)
    {
        try
        {
            bool isOpen = stream.IsAuthenticated;
            certificate = isOpen ? stream.RemoteCertificate as X509Certificate2 : null;
            return isOpen;
        }
        catch (ObjectDisposedException)
        {
            // Another thread has closed the connection since the line above.
            certificate = null;
            return false;
        }
    }
}
