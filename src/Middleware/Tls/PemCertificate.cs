using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>Loads a certificate and its private key from PEM.</summary>
internal static class PemCertificate
{
    /// <param name="options">The paths and the password.</param>
    /// <param name="pem">The certificate's file.</param>
    /// <param name="key">The contents of the key's file; null if the key is in the certificate's file.</param>
    /// <param name="others">Receives the other certificates of the file, in no particular order.</param>
    /// <exception cref="CertificateFileException">The files contain no certificate or no key, or the two do not match.</exception>
    public static X509Certificate2 Load(TlsCertificateOptions options, PemText pem, byte[]? key, X509Certificate2Collection others)
    {
        X509Certificate2Collection certificates = pem.LoadCertificates();
        if (certificates.Count == 0)
        {
            throw new CertificateFileException(pem.Blocks.Any(block => block.IsKey) || pem.HasTraditionalEncryption
                ? "the file contains a private key and no certificate. Set Path to the certificate's file and KeyPath to the key's."
                : CertificateFile.DescribeMissingCertificate(pem));
        }

        string type = certificates[0].GetKeyAlgorithm();
        PrivateKeyReader.ThrowIfUnsupported(type);
        string name = options.KeyPath ?? options.Path!;
        PemText keys = key is null ? pem : ParseKey(key, options.KeyPath!);
        if (!keys.Blocks.Any(block => block.IsKey))
        {
            throw new CertificateFileException(DescribeMissingKey(keys, name, isOwnFile: key is not null));
        }

        string? algorithm = null;
        X509Certificate2? leaf = PrivateKeyReader.Supports(type)
            ? PrivateKeyReader.TryJoin(certificates, keys, name, options.Password, out algorithm)
            : LoadByFramework(certificates[0], keys.Text, options.Password);
        if (leaf is null)
        {
            throw new CertificateFileException(type == algorithm
                ? $"the key in {name} does not match the certificate. Compare: openssl x509 -in {options.Path} -noout -pubkey; openssl pkey -in {name} -pubout."
                : $"the key in {name} has the type {PrivateKeyReader.GetName(algorithm!)}, the certificate's key {PrivateKeyReader.GetName(type)}. Set the path of the key for which the certificate was issued.");
        }

        others.AddRange(certificates.Where(certificate => !certificate.RawDataMemory.Span.SequenceEqual(leaf.RawDataMemory.Span)).ToArray());
        if (!OperatingSystem.IsWindows())
        {
            return leaf;
        }

        // SChannel does not accept ephemeral keys.
        using (leaf)
        {
            return X509CertificateLoader.LoadPkcs12(leaf.Export(X509ContentType.Pkcs12), null);
        }
    }

    private static X509Certificate2 LoadByFramework(X509Certificate2 certificate, string key, string? password) => password is null
        ? X509Certificate2.CreateFromPem(certificate.ExportCertificatePem(), key)
        : X509Certificate2.CreateFromEncryptedPem(certificate.ExportCertificatePem(), key, password);

    private static PemText ParseKey(byte[] key, string name)
    {
        if (CertificateFile.IsEmpty(key))
        {
            throw new CertificateFileException($"{name} is empty. Write the private key to it (PEM).");
        }

        return PemText.TryParse(key) ?? throw new CertificateFileException(key[0] == 0x30
            ? $"the key in {name} is in DER; PEM is required. Convert it: openssl pkey -inform der -in {name} -out {name}.pem."
            : $"{name} is not a private key in PEM: no line begins with -----BEGIN. Set KeyPath to the key's file.");
    }

    private static string DescribeMissingKey(PemText keys, string name, bool isOwnFile) =>
        keys.HasTraditionalEncryption
            ? $"the key in {name} uses OpenSSL's traditional encryption (Proc-Type: 4,ENCRYPTED), which .NET does not support. Encrypt it again: "
                + $"openssl pkcs8 -topk8 -in {name} -out FILE."
        : keys.Malformed is (string label, int line)
            ? $"the {label} that begins in line {line} of {name} is truncated or damaged. Copy the file again."
        : isOwnFile
            ? $"{name} contains {(keys.Has(PemText.Certificate) ? "a certificate and " : string.Empty)}no private key. Set KeyPath to the key's file."
        : "the file contains a certificate and no private key. Set KeyPath to the key's file.";
}
