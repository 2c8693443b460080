using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>Loads certificates from the contents of files. What cannot be used is refused with a cause and a remedy for each kind of input.</summary>
internal static class CertificateFile
{
    /// <summary>What <see cref="X509CertificateLoader"/> answers for a wrong password: ERROR_INVALID_PASSWORD of Windows, on every system.</summary>
    private const int WrongPassword = unchecked((int)0x80070056);

    /// <summary>Loads a certificate with its key.</summary>
    /// <param name="options">Where they are.</param>
    /// <param name="file">The content of the file.</param>
    /// <param name="key">The content of the key's file, if it is another one.</param>
    /// <param name="others">Gets the other certificates of the file, in no order that matters.</param>
    /// <exception cref="CertificateFileException">They are no certificate and key, or do not belong together.</exception>
    public static X509Certificate2 LoadPair(TlsCertificateOptions options, byte[] file, byte[]? key, X509Certificate2Collection others)
    {
        ThrowIfEmpty(file);
        return PemText.TryParse(file) is PemText pem ? FromPem(options, pem, key, others) : FromPfx(options, file, others);
    }

    /// <summary>Loads the authorities that another side's certificates must come from.</summary>
    /// <exception cref="CertificateFileException">The file has none, or has what would be ignored.</exception>
    public static X509Certificate2Collection LoadAuthorities(byte[] file)
    {
        ThrowIfEmpty(file);
        PemText pem = PemText.TryParse(file) ?? throw NotPem(file, "FILE");
        if (pem.Has(PemText.RevocationList) || pem.Malformed is (PemText.RevocationList, _))
        {
            throw new CertificateFileException(
                "it has a certificate revocation list (X509 CRL), which .NET does not take from a file: revoked certificates would be accepted. Remove it from the "
                + "file; revocation is checked against the lists and responders that certificates name, by Revocation (of clients ClientRevocation) Online.");
        }

        if (pem.Has(PemText.TrustedCertificate))
        {
            throw new CertificateFileException(
                "it has a TRUSTED CERTIFICATE, a format of OpenSSL alone, which would be ignored. Convert it: openssl x509 -in FILE -out FILE.pem.");
        }

        X509Certificate2Collection authorities = pem.Certificates();
        return authorities.Count > 0 ? authorities
            : throw new CertificateFileException(pem.Blocks.Any(block => block.IsKey)
                ? "it has a private key and no certificate. Name the file with the certificates of the authorities (PEM)."
                : NoCertificate(pem));
    }

    private static X509Certificate2 FromPem(TlsCertificateOptions options, PemText pem, byte[]? key, X509Certificate2Collection others)
    {
        X509Certificate2Collection certificates = pem.Certificates();
        if (certificates.Count == 0)
        {
            throw new CertificateFileException(pem.Blocks.Any(block => block.IsKey) || pem.HasTraditionalEncryption
                ? "it has a private key and no certificate. Name the certificate's file in Path and the key's in KeyPath."
                : NoCertificate(pem));
        }

        string type = certificates[0].GetKeyAlgorithm();
        PrivateKeyReader.ThrowIfForeign(type);
        string name = options.KeyPath ?? options.Path!;
        PemText keys = key is null ? pem : KeyText(key, options.KeyPath!);
        if (!keys.Blocks.Any(block => block.IsKey))
        {
            throw NoKey(keys, name, isOwnFile: key is not null);
        }

        string? algorithm = null;
        X509Certificate2? leaf = PrivateKeyReader.Reads(type)
            ? PrivateKeyReader.TryJoin(certificates, keys, name, options.Password, out algorithm)
            : ByFramework(certificates[0], keys.Text, options.Password);
        if (leaf is null)
        {
            throw new CertificateFileException(type == algorithm
                ? $"the key in {name} belongs to another certificate. Compare: openssl x509 -in {options.Path} -noout -pubkey; openssl pkey -in {name} -pubout."
                : $"the key in {name} is of the type {PrivateKeyReader.NameOf(algorithm!)}, and the certificate's is {PrivateKeyReader.NameOf(type)}. Name the key that it was issued for.");
        }

        others.AddRange(certificates.Where(certificate => !certificate.RawDataMemory.Span.SequenceEqual(leaf.RawDataMemory.Span)).ToArray());
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

    private static X509Certificate2 ByFramework(X509Certificate2 certificate, string key, string? password) => password is null
        ? X509Certificate2.CreateFromPem(certificate.ExportCertificatePem(), key)
        : X509Certificate2.CreateFromEncryptedPem(certificate.ExportCertificatePem(), key, password);

    private static PemText KeyText(byte[] key, string name)
    {
        if (IsEmpty(key))
        {
            throw new CertificateFileException($"{name} is empty. Write the private key into it (PEM).");
        }

        return PemText.TryParse(key) ?? throw new CertificateFileException(key[0] == 0x30
            ? $"the key in {name} is in DER, and PEM is needed. Convert it: openssl pkey -inform der -in {name} -out {name}.pem."
            : $"{name} is no private key in PEM: it has no line that begins with -----BEGIN. Name the key's file.");
    }

    private static CertificateFileException NoKey(PemText keys, string name, bool isOwnFile)
    {
        if (keys.HasTraditionalEncryption)
        {
            return new CertificateFileException(
                $"the key in {name} has OpenSSL's traditional encryption (Proc-Type: 4,ENCRYPTED), which .NET does not support. Encrypt it anew: "
                + $"openssl pkcs8 -topk8 -in {name} -out FILE.");
        }

        if (keys.Malformed is (string label, int line))
        {
            return new CertificateFileException($"the {label} that begins in line {line} of {name} is cut or damaged. Copy the file again.");
        }

        return new CertificateFileException(isOwnFile
            ? $"{name} has no private key{(keys.Has(PemText.Certificate) ? ", but a certificate" : string.Empty)}. Name the key's file in KeyPath."
            : "it has a certificate and no private key. Name the key's file in KeyPath.");
    }

    private static string NoCertificate(PemText pem) =>
        pem.Malformed is (string label, int line) ? $"the {label} that begins in line {line} is cut or damaged. Copy the file again."
        : pem.Has(PemText.Pkcs7) ? "it is PKCS #7. Convert it: openssl pkcs7 -print_certs -in FILE -out FILE.pem."
        : $"it has no certificate, but {pem.Blocks[0].Label}. Name the file of the certificate (PEM).";

    private static X509Certificate2 FromPfx(TlsCertificateOptions options, byte[] file, X509Certificate2Collection others)
    {
        if (TypeOf(file) is not X509ContentType.Pfx)
        {
            throw NotPem(file, options.Path!);
        }

        X509Certificate2? leaf = null;
        foreach (X509Certificate2 certificate in LoadPfx(options, file))
        {
            if (leaf is null && certificate.HasPrivateKey)
            {
                leaf = certificate;
            }
            else
            {
                others.Add(certificate);
            }
        }

        return leaf ?? throw new CertificateFileException(
            "it has no private key. Export it with the key: openssl pkcs12 -export -in CERTIFICATE -inkey KEY -out FILE.");
    }

    private static X509Certificate2Collection LoadPfx(TlsCertificateOptions options, byte[] file)
    {
        try
        {
            return X509CertificateLoader.LoadPkcs12Collection(file, options.Password);
        }
        catch (CryptographicException error) when (error.HResult == WrongPassword)
        {
            throw new CertificateFileException(
                options.Password is null
                    ? "it has a password, and Password is missing. Set it."
                    : $"Password is not that of the file. Try: openssl pkcs12 -in {options.Path} -noout.",
                error);
        }
        catch (CryptographicException error) when (PrivateKeyReader.IsLegacyEncryption(error))
        {
            throw new CertificateFileException(
                "it is encrypted with an algorithm that OpenSSL 3 does not support without its legacy provider, such as RC2-40. Export it anew: "
                + $"openssl pkcs12 -legacy -in {options.Path} -nodes -out FILE.pem; openssl pkcs12 -export -in FILE.pem -out FILE.pfx.",
                error);
        }
        catch (CryptographicException error)
        {
            throw new CertificateFileException($"the PKCS #12 file cannot be read ({error.Message}). Copy or export it again.", error);
        }
    }

    private static CertificateFileException NotPem(byte[] file, string name) => TypeOf(file) switch
    {
        X509ContentType.Cert => new($"it is a certificate in DER, and PEM is needed. Convert it: openssl x509 -inform der -in {name} -out {name}.pem."),
        X509ContentType.Pkcs7 => new($"it is PKCS #7. Convert it: openssl pkcs7 -inform der -print_certs -in {name} -out {name}.pem."),
        X509ContentType.Pfx => new($"it is PKCS #12, and PEM is needed. Convert it: openssl pkcs12 -in {name} -nokeys -out {name}.pem."),
        _ => new("it is no certificate: it has no line that begins with -----BEGIN (PEM), and is not PKCS #12, or is damaged. Name the certificate's file."),
    };

    private static X509ContentType TypeOf(byte[] file)
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
            throw new CertificateFileException("it is empty. Write the certificates into it (PEM).");
        }
    }

    private static bool IsEmpty(byte[] file) => file.AsSpan().TrimStart(" \t\r\n"u8).IsEmpty;
}
