using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>Loads a certificate and its private key from PKCS #12.</summary>
internal static class PfxCertificate
{
    /// <summary>The HResult of <see cref="X509CertificateLoader"/> for a wrong password: ERROR_INVALID_PASSWORD, on every system.</summary>
    private const int WrongPassword = unchecked((int)0x80070056);

    /// <param name="options">The path and the password.</param>
    /// <param name="file">The contents of the file.</param>
    /// <param name="others">Receives the other certificates of the file, in no particular order.</param>
    /// <exception cref="CertificateFileException">The file is not PKCS #12 or contains no key, or the password is wrong.</exception>
    public static X509Certificate2 Load(TlsCertificateOptions options, byte[] file, X509Certificate2Collection others)
    {
        if (CertificateFile.GetContentType(file) is not X509ContentType.Pfx)
        {
            throw CertificateFile.NotPem(file, options.Path!);
        }

        X509Certificate2? leaf = null;
        foreach (X509Certificate2 certificate in LoadAll(options, file))
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
            "the file contains no private key. Export it with the key: openssl pkcs12 -export -in CERTIFICATE -inkey KEY -out FILE.");
    }

    private static X509Certificate2Collection LoadAll(TlsCertificateOptions options, byte[] file)
    {
        try
        {
            return X509CertificateLoader.LoadPkcs12Collection(file, options.Password);
        }
        catch (CryptographicException error) when (error.HResult == WrongPassword)
        {
            throw new CertificateFileException(
                options.Password is null
                    ? "the file is encrypted and Password is not set. Set Password."
                    : $"Password does not decrypt the file. Test it: openssl pkcs12 -in {options.Path} -noout.",
                error);
        }
        catch (CryptographicException error) when (PrivateKeyReader.IsLegacyEncryption(error))
        {
            throw new CertificateFileException(
                "the file is encrypted with an algorithm that OpenSSL 3 supports only with its legacy provider, such as RC2-40. Export it again: "
                + $"openssl pkcs12 -legacy -in {options.Path} -nodes -out FILE.pem; openssl pkcs12 -export -in FILE.pem -out FILE.pfx.",
                error);
        }
        catch (CryptographicException error)
        {
            throw new CertificateFileException($"the PKCS #12 file cannot be read ({error.Message}). Copy or export it again.", error);
        }
    }
}
