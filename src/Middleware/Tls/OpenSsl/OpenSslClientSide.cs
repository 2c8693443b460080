using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>A client: requests a server name, and judges the server's certificate.</summary>
/// <param name="options">The options.</param>
/// <param name="sender">The first argument of the options' callbacks.</param>
internal sealed unsafe class OpenSslClientSide(SslClientAuthenticationOptions options, object sender) : OpenSslSide
{
    private static readonly IdnMapping Idn = new();

    private readonly PeerCertificateValidation _validation = new(
        options.CertificateChainPolicy, options.CertificateRevocationCheckMode, ExtendedKeyUsages.Server,
        options.RemoteCertificateValidationCallback, sender);

    public override string? ServerName => string.IsNullOrEmpty(options.TargetHost) ? null : options.TargetHost;

    public override string? Refusal => _validation.Refusal;

    /// <summary>The context of the client certificate, if it is known before the handshake.</summary>
    public SslContextHandle Context => options.ClientCertificateContext is SslStreamCertificateContext context
        ? OpenSslCertificate.Get(context).Context
        : OpenSslLibrary.ClientContext;

    protected override IList<SslApplicationProtocol>? Protocols => options.ApplicationProtocols;

    private bool SelectsCertificate =>
        options.ClientCertificateContext is null && (options.LocalCertificateSelectionCallback is not null || options.ClientCertificates is { Count: > 0 });

    public override void Begin(nint ssl)
    {
        LibSsl.SSL_set_connect_state(ssl);
        SetVersions(ssl, options.EnabledSslProtocols);
        SetCipherSuites(ssl, options.CipherSuitesPolicy);
        LibSsl.SSL_set_verify(ssl, LibSsl.VerifyPeer, 0);
        SetServerName(ssl);
        SetProtocols(ssl);
        if (SelectsCertificate)
        {
            LibSsl.SSL_set_cert_cb(ssl, &OpenSslCallbacks.SelectCertificate, 0);
        }
    }

    public override void ThrowIfRefused() => ThrowIfFailed();

    public override bool TrySelectCertificate(nint ssl)
    {
        try
        {
            if (Select(ssl) is X509Certificate chosen)
            {
                OpenSslCertificate.Get(chosen).Use(ssl);
            }

            return true;
        }
        catch (Exception error)
        {
            Fail(error);
            return false;
        }
    }

    protected override int Judge(X509Certificate2 leaf, X509Certificate2Collection others) => _validation.Judge(leaf, others, HasName);

    private bool HasName(X509Certificate2 leaf)
    {
        try
        {
            return ServerName is string name && leaf.MatchesHostname(IPAddress.TryParse(name, out _) ? name : ToAscii(name));
        }
        catch (Exception error) when (error is ArgumentException or CryptographicException)
        {
            // The expected name is no host name, or the certificate's names are malformed.
            return false;
        }
    }

    private static string ToAscii(string name) => Idn.GetAscii(name.EndsWith('.') ? name[..^1] : name);

    private void SetServerName(nint ssl)
    {
        if (ServerName is not string name || IPAddress.TryParse(name, out _))
        {
            return;
        }

        byte[] ascii = [.. Encoding.ASCII.GetBytes(ToAscii(name)), 0];
        fixed (byte* start = ascii)
        {
            OpenSslLibrary.Check((int)LibSsl.SSL_ctrl(ssl, LibSsl.ControlSetServerName, 0, (nint)start));
        }
    }

    private void SetProtocols(nint ssl)
    {
        if (options.ApplicationProtocols is not { Count: > 0 } protocols)
        {
            return;
        }

        byte[] list = [.. protocols.SelectMany(static protocol => (byte[])[(byte)protocol.Protocol.Length, .. protocol.Protocol.Span])];
        fixed (byte* start = list)
        {
            // Zero is success.
            if (LibSsl.SSL_set_alpn_protos(ssl, start, (uint)list.Length) != 0)
            {
                throw OpenSslError.ToException("OpenSSL refused the application protocols");
            }
        }
    }

    /// <summary>Selects by the callback of the options, else the first certificate with a key, preferably of an issuer that the server accepts.</summary>
    private X509Certificate? Select(nint ssl)
    {
        string[] issuers = GetIssuers(ssl);
        X509CertificateCollection own = options.ClientCertificates ?? [];
        if (options.LocalCertificateSelectionCallback is LocalCertificateSelectionCallback callback)
        {
            return callback(sender, options.TargetHost ?? string.Empty, own, PeerCertificate, issuers);
        }

        X509Certificate2[] usable = [.. own.OfType<X509Certificate2>().Where(static certificate => certificate.HasPrivateKey)];
        return Array.Find(usable, certificate => issuers.Contains(certificate.Issuer)) ?? (usable.Length > 0 ? usable[0] : null);
    }

    private static string[] GetIssuers(nint ssl)
    {
        nint names = LibSsl.SSL_get0_peer_CA_list(ssl);
        string[] issuers = new string[names == 0 ? 0 : Math.Max(0, LibSsl.OPENSSL_sk_num(names))];
        for (int i = 0; i < issuers.Length; i++)
        {
            issuers[i] = new X500DistinguishedName(X509Handle.EncodeName(LibSsl.OPENSSL_sk_value(names, i))).Name;
        }

        return issuers;
    }
}
