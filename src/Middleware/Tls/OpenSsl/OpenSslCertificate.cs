using System.Diagnostics.CodeAnalysis;
using System.Net.Security;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>A certificate of this side with its key and intermediates, loaded into OpenSSL once.</summary>
internal sealed class OpenSslCertificate
{
    // By the object of .NET that it was loaded from: a reloaded file is a new object.
    private static readonly ConditionalWeakTable<object, OpenSslCertificate> Loaded = [];

    private readonly X509Handle _leaf;
    private readonly SafeHandle _key;
    private readonly X509Handle[] _intermediates;

    private OpenSslCertificate(X509Certificate2 leaf, IEnumerable<X509Certificate2> intermediates)
    {
        _leaf = X509Handle.Parse(leaf.RawDataMemory.Span);
        _key = GetKey(leaf);
        _intermediates = [.. intermediates.Select(static certificate => X509Handle.Parse(certificate.RawDataMemory.Span))];
        Id = leaf.GetCertHash(HashAlgorithmName.SHA256)[..16];
        Context = OpenSslLibrary.CreateContext();
        OpenSslLibrary.Check(LibSsl.SSL_CTX_use_certificate(Context, _leaf));
        OpenSslLibrary.Check(LibSsl.SSL_CTX_use_PrivateKey(Context, _key));
        foreach (X509Handle intermediate in _intermediates)
        {
            OpenSslLibrary.Check((int)LibSsl.SSL_CTX_ctrl(Context, LibSsl.ControlAddChainCertificate, 1, intermediate.DangerousGetHandle()));
        }
    }

    /// <summary>The context of handshakes with this certificate.</summary>
    public SslContextHandle Context { get; }

    /// <summary>Half of the SHA-256 hash of the certificate.</summary>
    public byte[] Id { get; }

    /// <summary>Returns the loaded certificate.</summary>
    /// <exception cref="System.Security.Authentication.AuthenticationException">OpenSSL cannot use the certificate or its key.</exception>
    public static OpenSslCertificate Get(SslStreamCertificateContext context) =>
        Loaded.GetValue(context, static key => Load((SslStreamCertificateContext)key));

    /// <summary>Returns the loaded certificate; its intermediates are those that SslStream finds.</summary>
    /// <exception cref="System.Security.Authentication.AuthenticationException">OpenSSL cannot use the certificate or its key.</exception>
    public static OpenSslCertificate Get(X509Certificate certificate) => Loaded.GetValue(
        certificate,
        static key => Load(SslStreamCertificateContext.Create(key as X509Certificate2 ?? new X509Certificate2((X509Certificate)key), null)));

    /// <summary>Uses it for one connection.</summary>
    public void Use(nint ssl)
    {
        OpenSslLibrary.Check(LibSsl.SSL_use_certificate(ssl, _leaf));
        OpenSslLibrary.Check(LibSsl.SSL_use_PrivateKey(ssl, _key));
        foreach (X509Handle intermediate in _intermediates)
        {
            OpenSslLibrary.Check((int)LibSsl.SSL_ctrl(ssl, LibSsl.ControlAddChainCertificate, 1, intermediate.DangerousGetHandle()));
        }
    }

    private static OpenSslCertificate Load(SslStreamCertificateContext context) => new(context.TargetCertificate, context.IntermediateCertificates);

    /// <summary>Returns the handle of the private key. It is the same OpenSSL's, see <see cref="OpenSslLibrary.Missing"/>.</summary>
    [SuppressMessage("Interoperability", "CA1416", Justification = "OpenSsl is chosen on Linux only.")]
    private static SafeEvpPKeyHandle GetKey(X509Certificate2 leaf)
    {
        if (leaf.GetECDsaPrivateKey() is ECDsa ecdsa)
        {
            using (ecdsa)
            {
                using ECDsaOpenSsl native = ecdsa as ECDsaOpenSsl ?? new ECDsaOpenSsl(ecdsa.ExportParameters(includePrivateParameters: true).Curve);
                if (!ReferenceEquals(native, ecdsa))
                {
                    native.ImportParameters(ecdsa.ExportParameters(includePrivateParameters: true));
                }

                return native.DuplicateKeyHandle();
            }
        }

        if (leaf.GetRSAPrivateKey() is RSA rsa)
        {
            using (rsa)
            {
                using RSAOpenSsl native = rsa as RSAOpenSsl ?? new RSAOpenSsl(rsa.ExportParameters(includePrivateParameters: true));
                return native.DuplicateKeyHandle();
            }
        }

        throw new NotSupportedException(
            $"The certificate '{leaf.Subject}' has no private key that the OpenSSL engine can use (RSA or ECDSA). Set TlsEngine to SslStream.");
    }
}
