using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace ByteStreams.Tls;

/// <summary>The result of a handshake, as Kestrel's TLS features.</summary>
/// <param name="negotiated">The result.</param>
internal class TlsFeatures(TlsNegotiated negotiated) : ITlsHandshakeFeature, ITlsConnectionFeature, ITlsApplicationProtocolFeature
{
    public SslProtocols Protocol => negotiated.Protocol;

    public TlsCipherSuite CipherSuite => negotiated.CipherSuite;

    public SslApplicationProtocol ApplicationProtocol => negotiated.ApplicationProtocol;

    /// <summary>The server name that the client sent (SNI); null if it sent none.</summary>
    public string? ServerName => negotiated.ServerName;

    /// <summary>The peer's certificate, also one that <c>NegotiateClientCertificateAsync</c> requested later. It outlives the connection.</summary>
    public virtual X509Certificate2? PeerCertificate => negotiated.PeerCertificate;

#pragma warning disable SYSLIB0058 // ITlsHandshakeFeature still has these members; the cipher suite implies them. As SslStream has them on Linux.
    public CipherAlgorithmType CipherAlgorithm => HasPart("AES_128") ? CipherAlgorithmType.Aes128 : HasPart("AES_256") ? CipherAlgorithmType.Aes256 : CipherAlgorithmType.None;

    public int CipherStrength => HasPart("AES_128") ? 128 : 256;

    public HashAlgorithmType HashAlgorithm => HashAlgorithmType.None;

    public int HashStrength => 0;

    public ExchangeAlgorithmType KeyExchangeAlgorithm => ExchangeAlgorithmType.None;

    public int KeyExchangeStrength => 0;
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

    private bool HasPart(string part) => CipherSuite.ToString().Contains(part, StringComparison.Ordinal);
}
