using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace ByteStreams.Tls;

/// <summary>
/// The result of a handshake, as Kestrel's TLS features. Read once, because a disposed SslStream throws, and a close disposes it on any thread.
/// </summary>
/// <param name="stream">A stream after its handshake.</param>
internal sealed class TlsFeatures(SslStream stream) : ISslStreamFeature, ITlsHandshakeFeature, ITlsConnectionFeature, ITlsApplicationProtocolFeature
{
    private readonly X509Certificate2? _peerCertificate = stream.RemoteCertificate as X509Certificate2;

    public SslStream SslStream => stream;

    public SslProtocols Protocol { get; } = stream.SslProtocol;

    public TlsCipherSuite CipherSuite { get; } = stream.NegotiatedCipherSuite;

    public SslApplicationProtocol ApplicationProtocol { get; } = stream.NegotiatedApplicationProtocol;

    /// <summary>The server name that the client sent (SNI); null if it sent none.</summary>
    public string? ServerName { get; } = stream.TargetHostName is { Length: > 0 } name ? name : null;

    /// <summary>The peer's certificate, also one that <c>NegotiateClientCertificateAsync</c> requested later. It outlives the stream.</summary>
    public X509Certificate2? PeerCertificate => TryGetCertificate(out X509Certificate2? current) ? current : _peerCertificate;

#pragma warning disable SYSLIB0058 // ITlsHandshakeFeature still has these members; the cipher suite implies them.
    public CipherAlgorithmType CipherAlgorithm { get; } = stream.CipherAlgorithm;

    public int CipherStrength { get; } = stream.CipherStrength;

    public HashAlgorithmType HashAlgorithm { get; } = stream.HashAlgorithm;

    public int HashStrength { get; } = stream.HashStrength;

    public ExchangeAlgorithmType KeyExchangeAlgorithm { get; } = stream.KeyExchangeAlgorithm;

    public int KeyExchangeStrength { get; } = stream.KeyExchangeStrength;
#pragma warning restore SYSLIB0058

    TlsCipherSuite? ITlsHandshakeFeature.NegotiatedCipherSuite => CipherSuite;

    string ITlsHandshakeFeature.HostName => ServerName ?? string.Empty;

    ReadOnlyMemory<byte> ITlsApplicationProtocolFeature.ApplicationProtocol => ApplicationProtocol.Protocol;

    X509Certificate2? ITlsConnectionFeature.ClientCertificate
    {
        get => PeerCertificate;
        set => throw new NotSupportedException("The client certificate of a connection is that of its handshake and cannot be set.");
    }

    Task<X509Certificate2?> ITlsConnectionFeature.GetClientCertificateAsync(CancellationToken cancellationToken) => Task.FromResult(PeerCertificate);

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
