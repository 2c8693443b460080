using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>Reads private keys, and combines them with the matching certificate of a file.</summary>
internal static class PrivateKeyReader
{
    private const string Rsa = "1.2.840.113549.1.1.1";
    private const string EllipticCurve = "1.2.840.10045.2.1";

    /// <summary>OpenSSL's error code for an algorithm that no loaded provider implements.</summary>
    private const string Unsupported = "0308010C";

    /// <summary>Key types that .NET does not support for TLS.</summary>
    private static readonly Dictionary<string, string> UnsupportedTypes = new(StringComparer.Ordinal)
    {
        ["1.3.101.112"] = "Ed25519",
        ["1.3.101.113"] = "Ed448",
        ["1.2.840.10040.4.1"] = "DSA",
        ["1.2.840.113549.1.1.10"] = "RSASSA-PSS",
    };

    /// <summary>Returns whether an error means that a file is encrypted with an algorithm of OpenSSL's legacy provider.</summary>
    public static bool IsLegacyEncryption(Exception error) =>
        error.Message.Contains(Unsupported, StringComparison.Ordinal) || (error.InnerException is Exception inner && IsLegacyEncryption(inner));

    /// <summary>Returns the name of a key type.</summary>
    public static string GetName(string algorithm) => algorithm switch
    {
        Rsa => "RSA",
        EllipticCurve => "ECDSA",
        _ => UnsupportedTypes.GetValueOrDefault(algorithm, algorithm),
    };

    /// <summary>Returns whether this class reads keys of a type. Others, such as ML-DSA, are left to .NET.</summary>
    public static bool Supports(string algorithm) => algorithm is Rsa or EllipticCurve;

    /// <exception cref="CertificateFileException">.NET does not support keys of this type for TLS.</exception>
    public static void ThrowIfUnsupported(string algorithm)
    {
        if (UnsupportedTypes.TryGetValue(algorithm, out string? name))
        {
            throw new CertificateFileException($"the certificate's key is {name}, which .NET does not support in TLS. Issue a certificate with an RSA or ECDSA key (P-256, P-384, P-521).");
        }
    }

    /// <summary>Returns the first certificate that matches a key of the file, with that key; null if none does.</summary>
    /// <param name="certificates">The certificates in their order.</param>
    /// <param name="file">The key's file.</param>
    /// <param name="name">The path of the key's file.</param>
    /// <param name="password">The password of the key; null for none.</param>
    /// <param name="algorithm">The type of the last key that was read; null if there is none.</param>
    /// <exception cref="CertificateFileException">A key cannot be read.</exception>
    public static X509Certificate2? TryJoin(X509Certificate2Collection certificates, PemText file, string name, string? password, out string? algorithm)
    {
        algorithm = null;
        foreach (PemText.Block block in file.Blocks.Where(block => block.IsKey))
        {
            using AsymmetricAlgorithm key = Read(block, name, password);
            algorithm = key is RSA ? Rsa : EllipticCurve;
            foreach (X509Certificate2 certificate in certificates)
            {
                if (TryJoin(certificate, key) is X509Certificate2 joined)
                {
                    return joined;
                }
            }
        }

        return null;
    }

    private static X509Certificate2? TryJoin(X509Certificate2 certificate, AsymmetricAlgorithm key)
    {
        switch (key)
        {
            case RSA rsa:
                using (RSA? its = certificate.GetRSAPublicKey())
                {
                    return its is not null && Same(its.ExportParameters(false).Modulus, rsa.ExportParameters(false).Modulus) ? certificate.CopyWithPrivateKey(rsa) : null;
                }

            case ECDsa ecdsa:
                using (ECDsa? its = certificate.GetECDsaPublicKey())
                {
                    return its is not null && Same(its.ExportParameters(false).Q.X, ecdsa.ExportParameters(false).Q.X) ? certificate.CopyWithPrivateKey(ecdsa) : null;
                }

            default:
                return null;
        }
    }

    private static bool Same(byte[]? left, byte[]? right) => left.AsSpan().SequenceEqual(right);

    private static AsymmetricAlgorithm Read(PemText.Block block, string name, string? password)
    {
        if (block.Label == PemText.EncryptedKey && password is null)
        {
            throw new CertificateFileException($"the key in {name} is encrypted and Password is not set. Set Password, or decrypt the key: openssl pkey -in {name} -out FILE.");
        }

        if (block.Label != PemText.EncryptedKey && password is not null)
        {
            throw new CertificateFileException($"the key in {name} is not encrypted and Password is set. Remove Password.");
        }

        string? algorithm = block.Label == PemText.Key ? GetAlgorithm(block.Data) : null;
        if (algorithm is not null)
        {
            ThrowIfUnsupported(algorithm);
        }

        try
        {
            return block.Label switch
            {
                PemText.RsaKey => Import(RSA.Create(), rsa => rsa.ImportRSAPrivateKey(block.Data, out _)),
                PemText.EcKey => Import(ECDsa.Create(), ecdsa => ecdsa.ImportECPrivateKey(block.Data, out _)),
                PemText.Key when algorithm == EllipticCurve => Import(ECDsa.Create(), ecdsa => ecdsa.ImportPkcs8PrivateKey(block.Data, out _)),
                PemText.Key => Import(RSA.Create(), rsa => rsa.ImportPkcs8PrivateKey(block.Data, out _)),
                _ => Decrypt(block.Data, password!),
            };
        }
        catch (CryptographicException error) when (IsLegacyEncryption(error))
        {
            throw new CertificateFileException(
                $"the key in {name} is encrypted with an algorithm that OpenSSL 3 supports only with its legacy provider. Encrypt it again: "
                + $"openssl pkcs8 -topk8 -v2 aes-256-cbc -provider legacy -provider default -in {name} -out FILE.",
                error);
        }
        catch (CryptographicException error) when (block.Label == PemText.EncryptedKey)
        {
            throw new CertificateFileException($"Password does not decrypt the key in {name}, or the key is neither RSA nor ECDSA. Test it: openssl pkey -in {name} -noout -text.", error);
        }
        catch (CryptographicException error)
        {
            throw new CertificateFileException($"the key in {name} is damaged ({error.Message}). Copy the file again.", error);
        }
    }

    /// <summary>Decrypts a key. Its type is unknown until then, so that the second attempt is for the other type.</summary>
    private static AsymmetricAlgorithm Decrypt(byte[] data, string password)
    {
        try
        {
            return Import(RSA.Create(), rsa => rsa.ImportEncryptedPkcs8PrivateKey(password, data, out _));
        }
        catch (CryptographicException error) when (!IsLegacyEncryption(error))
        {
            return Import(ECDsa.Create(), ecdsa => ecdsa.ImportEncryptedPkcs8PrivateKey(password, data, out _));
        }
    }

    private static TKey Import<TKey>(TKey key, Action<TKey> import)
        where TKey : AsymmetricAlgorithm
    {
        try
        {
            import(key);
            return key;
        }
        catch
        {
            key.Dispose();
            throw;
        }
    }

    /// <summary>Returns the algorithm of a PKCS #8 key (RFC 5958); null if the key is malformed, which the import reports.</summary>
    private static string? GetAlgorithm(byte[] key)
    {
        try
        {
            AsnReader info = new AsnReader(key, AsnEncodingRules.BER).ReadSequence();
            info.ReadInteger();
            return info.ReadSequence().ReadObjectIdentifier();
        }
        catch (AsnContentException)
        {
            return null;
        }
    }
}
