using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>A certificate that was loaded, ready for handshakes, and the names that it has. Endpoints share it.</summary>
internal sealed class ServerCertificate
{
    private ServerCertificate(X509Certificate2 leaf, X509Certificate2Collection others, bool staple)
    {
        Leaf = leaf;
        Others = others;
        Context = SslStreamCertificateContext.Create(leaf, others, offline: !staple);
        CertificateNames names = CertificateNames.Of(leaf);
        Subject = names.CommonName ?? (names.DnsNames.Count > 0 ? names.DnsNames[0] : leaf.Subject);
        NotAfter = leaf.NotAfter;
        Names = new HostNames(
            names.DnsNames.Count > 0 ? names.DnsNames
            : names.CommonName is string common ? [common] : []);
    }

    public X509Certificate2 Leaf { get; }

    /// <summary>The other certificates of its file.</summary>
    public X509Certificate2Collection Others { get; }

    public SslStreamCertificateContext Context { get; }

    public string Subject { get; }

    public DateTimeOffset NotAfter { get; }

    public HostNames Names { get; }

    /// <summary>Loads a certificate and its key.</summary>
    /// <param name="options">Where they are.</param>
    /// <param name="content">The contents of the files; none for the store's.</param>
    /// <param name="staple">Whether its status is fetched and stapled.</param>
    /// <exception cref="CryptographicException">They are no certificate and key, or do not belong together.</exception>
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
                $"The store {options.StoreLocation}/{options.Store} has no certificate '{options.Thumbprint ?? options.Subject}' with a private key.");
    }
}
