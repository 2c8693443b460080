using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>A loaded certificate with its chain and names. Endpoints share it.</summary>
internal sealed class ServerCertificate
{
    private ServerCertificate(X509Certificate2 leaf, X509Certificate2Collection others, bool staple)
    {
        Leaf = leaf;
        Others = others;
        Context = SslStreamCertificateContext.Create(leaf, others, offline: !staple);
        CertificateNames names = CertificateNames.From(leaf);
        Subject = names.CommonName ?? (names.DnsNames.Count > 0 ? names.DnsNames[0] : leaf.Subject);
        NotAfter = leaf.NotAfter;
        Names = new HostNames(
            names.DnsNames.Count > 0 ? names.DnsNames
            : names.CommonName is string common ? [common] : []);
    }

    public X509Certificate2 Leaf { get; }

    /// <summary>The other certificates of the file.</summary>
    public X509Certificate2Collection Others { get; }

    public SslStreamCertificateContext Context { get; }

    public string Subject { get; }

    public DateTimeOffset NotAfter { get; }

    public HostNames Names { get; }

    /// <summary>Loads a certificate and its key.</summary>
    /// <param name="options">The location and the password.</param>
    /// <param name="content">The contents of the files; none for a certificate in the system's store.</param>
    /// <param name="staple">Whether to fetch the OCSP status and staple it.</param>
    /// <exception cref="CryptographicException">The certificate or its key cannot be loaded, or the two do not match.</exception>
    public static ServerCertificate Load(TlsCertificateOptions options, FileContents content, bool staple)
    {
        if (content.File is null)
        {
            return new ServerCertificate(FromStore(options), [], staple);
        }

        X509Certificate2Collection others = [];
        X509Certificate2 leaf = CertificateFile.LoadPair(options, content.File, content.Key, others);
        return new ServerCertificate(leaf, others, staple);
    }

    private static X509Certificate2 FromStore(TlsCertificateOptions options)
    {
        using var store = new X509Store(options.Store!, options.StoreLocation, OpenFlags.ReadOnly | OpenFlags.OpenExistingOnly);
        X509Certificate2Collection found = options.Thumbprint is not null
            ? store.Certificates.Find(X509FindType.FindByThumbprint, options.Thumbprint, validOnly: false)
            : store.Certificates.Find(X509FindType.FindBySubjectName, options.Subject!, validOnly: false);
        return found.Where(certificate => certificate.HasPrivateKey).MaxBy(certificate => certificate.NotAfter)
            ?? throw new CryptographicException(
                $"The store {options.StoreLocation}/{options.Store} contains no certificate '{options.Thumbprint ?? options.Subject}' with a private key.");
    }
}
