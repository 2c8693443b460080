using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Testing;

/// <summary>An authority of a test's own, and the certificates that it signs, in a folder of their own.</summary>
internal sealed class TestAuthority : IDisposable
{
    private static readonly Oid Server = new("1.3.6.1.5.5.7.3.1");
    private static readonly Oid Client = new("1.3.6.1.5.5.7.3.2");

    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly X509Certificate2 _certificate;

    public TestAuthority(string name = "Test authority")
    {
        var request = new CertificateRequest($"CN={name}", _key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        _certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddYears(-1), DateTimeOffset.UtcNow.AddYears(1));
        Folder = Directory.CreateTempSubdirectory("authority-").FullName;
        CaPath = Path.Combine(Folder, "ca.pem");
        File.WriteAllText(CaPath, _certificate.ExportCertificatePem());
    }

    public string Folder { get; }

    /// <summary>The file of the authority's own certificate.</summary>
    public string CaPath { get; }

    /// <summary>A certificate, with its key.</summary>
    /// <param name="commonName">The subject's common name.</param>
    /// <param name="dns">Its DNS names; localhost and 127.0.0.1 where there are none.</param>
    /// <param name="uris">Its URIs, such as SPIFFE ids.</param>
    /// <param name="expired">Whether it was valid until yesterday only.</param>
    public X509Certificate2 Sign(string commonName, string[]? dns = null, string[]? uris = null, bool expired = false)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var subject = new X500DistinguishedNameBuilder();
        subject.AddCommonName(commonName);
        var request = new CertificateRequest(subject.Build(), key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        foreach (string name in dns ?? ["localhost"])
        {
            names.AddDnsName(name);
        }

        if (dns is null)
        {
            names.AddIpAddress(IPAddress.Loopback);
        }

        foreach (string uri in uris ?? [])
        {
            names.AddUri(new Uri(uri));
        }

        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([Server, Client], false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(_certificate, true, false));
        DateTimeOffset now = DateTimeOffset.UtcNow;
        using X509Certificate2 signed = request.Create(
            _certificate, expired ? now.AddDays(-30) : now.AddDays(-1), expired ? now.AddDays(-1) : now.AddDays(90), RandomNumberGenerator.GetBytes(16));
        using X509Certificate2 whole = signed.CopyWithPrivateKey(key);
        // Without this detour the key is not one that every platform's TLS can use.
        return X509CertificateLoader.LoadPkcs12(whole.Export(X509ContentType.Pkcs12), null, X509KeyStorageFlags.Exportable);
    }

    /// <summary>A certificate as a pair of PEM files.</summary>
    public TlsCertificateOptions Write(string commonName, string[]? dns = null, string[]? uris = null, bool expired = false)
    {
        using X509Certificate2 certificate = Sign(commonName, dns, uris, expired);
        string path = Path.Combine(Folder, Guid.NewGuid().ToString("N"));
        return Write(certificate, path + ".crt", path + ".key");
    }

    /// <summary>Writes a certificate and its key; each file is replaced as a whole.</summary>
    public static TlsCertificateOptions Write(X509Certificate2 certificate, string path, string keyPath)
    {
        Replace(keyPath, certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        Replace(path, certificate.ExportCertificatePem());
        return new TlsCertificateOptions { Path = path, KeyPath = keyPath };
    }

    public void Dispose()
    {
        _certificate.Dispose();
        _key.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    private static void Replace(string path, string text)
    {
        File.WriteAllText(path + ".new", text + "\n");
        File.Move(path + ".new", path, overwrite: true);
    }
}
