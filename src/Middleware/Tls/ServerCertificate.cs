using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace ByteStreams.Tls;

/// <summary>A certificate that was loaded, ready for handshakes, and the names that it serves.</summary>
internal sealed class ServerCertificate
{
    private readonly HashSet<string> _hosts = new(StringComparer.OrdinalIgnoreCase);
    private readonly HashSet<string> _wildcards = new(StringComparer.OrdinalIgnoreCase);

    private ServerCertificate(X509Certificate2 leaf, X509Certificate2Collection between, TlsCertificateOptions options, bool staple)
    {
        Leaf = leaf;
        Context = SslStreamCertificateContext.Create(leaf, between, offline: !staple);
        CertificateNames names = CertificateNames.Of(leaf);
        Subject = names.CommonName ?? (names.DnsNames.Count > 0 ? names.DnsNames[0] : leaf.Subject);
        IEnumerable<string> hosts = options.Hosts.Count > 0 ? options.Hosts
            : names.DnsNames.Count > 0 ? names.DnsNames
            : names.CommonName is string common ? [common] : [];
        foreach (string host in hosts)
        {
            _ = host.StartsWith("*.", StringComparison.Ordinal) ? _wildcards.Add(host[1..]) : _hosts.Add(host);
        }
    }

    public X509Certificate2 Leaf { get; }

    public SslStreamCertificateContext Context { get; }

    public string Subject { get; }

    /// <summary>Loads a certificate and its key.</summary>
    /// <param name="options">Where they are.</param>
    /// <param name="file">The content of the file; null for the store's.</param>
    /// <param name="key">The content of the key's file, if it is another one.</param>
    /// <param name="staple">Whether its status is fetched and stapled.</param>
    /// <exception cref="CryptographicException">They are no certificate and key, or do not belong together.</exception>
    public static ServerCertificate Load(TlsCertificateOptions options, byte[]? file, byte[]? key, bool staple)
    {
        if (file is null)
        {
            return new ServerCertificate(FromStore(options), [], options, staple);
        }

        X509Certificate2Collection between = [];
        X509Certificate2 leaf = file.AsSpan().IndexOf("-----BEGIN "u8) >= 0
            ? FromPem(options, Encoding.UTF8.GetString(file), key is null ? null : Encoding.UTF8.GetString(key), between)
            : FromPfx(options, file, between);
        return new ServerCertificate(leaf, between, options, staple);
    }

    public bool Serves(string host) => _hosts.Contains(host);

    public bool ServesByWildcard(string host)
    {
        int dot = host.IndexOf('.', StringComparison.Ordinal);
        return dot > 0 && _wildcards.Contains(host[dot..]);
    }

    private static X509Certificate2 FromPem(TlsCertificateOptions options, string text, string? keyText, X509Certificate2Collection between)
    {
        X509Certificate2 leaf = options.Password is null
            ? X509Certificate2.CreateFromPem(text, keyText ?? text)
            : X509Certificate2.CreateFromEncryptedPem(text, keyText ?? text, options.Password);
        between.ImportFromPem(text);
        between.RemoveAt(0);
        if (!OperatingSystem.IsWindows())
        {
            return leaf;
        }

        // Windows does not take keys that are only in memory for TLS.
        using (leaf)
        {
            return X509CertificateLoader.LoadPkcs12(leaf.Export(X509ContentType.Pkcs12), null);
        }
    }

    private static X509Certificate2 FromPfx(TlsCertificateOptions options, byte[] file, X509Certificate2Collection between)
    {
        X509Certificate2? leaf = null;
        foreach (X509Certificate2 certificate in X509CertificateLoader.LoadPkcs12Collection(file, options.Password))
        {
            if (leaf is null && certificate.HasPrivateKey)
            {
                leaf = certificate;
            }
            else
            {
                between.Add(certificate);
            }
        }

        return leaf ?? throw new CryptographicException("The file has no certificate with a private key.");
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
