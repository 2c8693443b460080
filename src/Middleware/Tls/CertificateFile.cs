using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>Loads certificates from the contents of files, PEM or PKCS #12. Unusable input is rejected with its cause and a remedy.</summary>
internal static class CertificateFile
{
    /// <summary>Loads a certificate and its private key.</summary>
    /// <param name="options">The paths and the password.</param>
    /// <param name="file">The contents of the file.</param>
    /// <param name="key">The contents of the key's file; null if the key is in the certificate's file.</param>
    /// <param name="others">Receives the other certificates of the file, in no particular order.</param>
    /// <exception cref="CertificateFileException">The files contain no certificate or no key, or the two do not match.</exception>
    public static X509Certificate2 LoadPair(TlsCertificateOptions options, byte[] file, byte[]? key, X509Certificate2Collection others)
    {
        ThrowIfEmpty(file);
        return PemText.TryParse(file) is PemText pem ? PemCertificate.Load(options, pem, key, others) : PfxCertificate.Load(options, file, others);
    }

    /// <summary>Loads the authorities that issue the peer's certificates.</summary>
    /// <exception cref="CertificateFileException">The file contains no certificate, or blocks that .NET ignores.</exception>
    public static X509Certificate2Collection LoadAuthorities(byte[] file)
    {
        ThrowIfEmpty(file);
        PemText pem = PemText.TryParse(file) ?? throw NotPem(file, "FILE");
        if (pem.Has(PemText.RevocationList) || pem.Malformed is (PemText.RevocationList, _))
        {
            throw new CertificateFileException(
                "the file contains a certificate revocation list (X509 CRL), which .NET cannot load: revoked certificates would be accepted. Remove it. "
                + "Set Revocation (for clients ClientRevocation) to Online to check the lists and OCSP responders that certificates name.");
        }

        if (pem.Has(PemText.TrustedCertificate))
        {
            throw new CertificateFileException(
                "the file contains a TRUSTED CERTIFICATE, an OpenSSL format that .NET ignores. Convert it: openssl x509 -in FILE -out FILE.pem.");
        }

        X509Certificate2Collection authorities = pem.LoadCertificates();
        return authorities.Count > 0 ? authorities
            : throw new CertificateFileException(pem.Blocks.Any(block => block.IsKey)
                ? "the file contains a private key and no certificate. Set the path of the file with the authorities' certificates (PEM)."
                : DescribeMissingCertificate(pem));
    }

    /// <summary>Returns the error text for a file without a certificate.</summary>
    public static string DescribeMissingCertificate(PemText pem) =>
        pem.Malformed is (string label, int line) ? $"the {label} that begins in line {line} is truncated or damaged. Copy the file again."
        : pem.Has(PemText.Pkcs7) ? "the file is PKCS #7. Convert it: openssl pkcs7 -print_certs -in FILE -out FILE.pem."
        : $"the file contains {pem.Blocks[0].Label} and no certificate. Set the path of the certificate's file (PEM).";

    /// <summary>Creates the error for a file without PEM, by what it contains.</summary>
    public static CertificateFileException NotPem(byte[] file, string name) => GetContentType(file) switch
    {
        X509ContentType.Cert => new($"the file is a certificate in DER; PEM is required. Convert it: openssl x509 -inform der -in {name} -out {name}.pem."),
        X509ContentType.Pkcs7 => new($"the file is PKCS #7. Convert it: openssl pkcs7 -inform der -print_certs -in {name} -out {name}.pem."),
        X509ContentType.Pfx => new($"the file is PKCS #12; PEM is required. Convert it: openssl pkcs12 -in {name} -nokeys -out {name}.pem."),
        _ => new("the file is not a certificate: no line begins with -----BEGIN (PEM), and it is not PKCS #12, or it is damaged. Set the path of the certificate's file."),
    };

    public static X509ContentType GetContentType(byte[] file)
    {
        try
        {
            return X509Certificate2.GetCertContentType(file);
        }
        catch (CryptographicException)
        {
            return X509ContentType.Unknown;
        }
    }

    private static void ThrowIfEmpty(byte[] file)
    {
        if (IsEmpty(file))
        {
            throw new CertificateFileException("the file is empty. Write the certificates to it (PEM).");
        }
    }

    public static bool IsEmpty(byte[] file) => file.AsSpan().TrimStart(" \t\r\n"u8).IsEmpty;
}
