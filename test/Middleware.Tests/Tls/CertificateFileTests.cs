using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ByteStreams.Tls;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>What certificate files can contain: what is read, and what is refused with a cause and a remedy of its own.</summary>
public sealed class CertificateFileTests : TlsTest
{
    private const string Ed25519Certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBMDCB46ADAgECAhRbYEhtBu1Z7cqy5wGuQhldi93vNzAFBgMrZXAwDTELMAkG
        A1UEAwwCZWQwIBcNMjYxMTI5MjE0NjM4WhgPMjEyNjExMDUyMTQ2MzhaMA0xCzAJ
        BgNVBAMMAmVkMCowBQYDK2VwAyEAkGsh1H8WEUrYtGaGULPe5KMZAGOvhMzSFdeL
        lD/lgumjUzBRMB0GA1UdDgQWBBTOwlkHXJRuoQ5LHLMVaIxGbKKl/TAfBgNVHSME
        GDAWgBTOwlkHXJRuoQ5LHLMVaIxGbKKl/TAPBgNVHRMBAf8EBTADAQH/MAUGAytl
        cANBAO7miNvrzy0ZWZhTyJdYGUUnDrFIDu4BmG8xhbl1nxLjhX1BIl13ff3HIJ7l
        2uBvtMi23HNqT5v6R0PgFMGLGA0=
        -----END CERTIFICATE-----
        """;

    private const string Ed25519Key = """
        -----BEGIN PRIVATE KEY-----
        MC4CAQAwBQYDK2VwBCIEIC89cFxuSml/ybypugP09Pxfh3SbGKxpIK9fHmjcerKj
        -----END PRIVATE KEY-----
        """;

    [Theory, Trait("Fault", "F78")]
    [InlineData("missing", "Could not find file")]
    [InlineData("folder", "server.pem is a directory. Set the path of a file.")]
    [InlineData("empty", "the file is empty. Write the certificates to it (PEM).")]
    [InlineData("empty key", "server.key is empty. Write the private key to it (PEM).")]
    [InlineData("text", "the file is not a certificate: no line begins with -----BEGIN (PEM), and it is not PKCS #12, or it is damaged.")]
    [InlineData("key is text", "server.key is not a private key in PEM")]
    [InlineData("key alone", "the file contains a private key and no certificate.")]
    [InlineData("certificate alone", "the file contains a certificate and no private key. Set KeyPath to the key's file.")]
    [InlineData("key is a certificate", "server.key contains a certificate and no private key.")]
    [InlineData("request", "the file contains CERTIFICATE REQUEST and no certificate.")]
    [InlineData("damaged", "the certificate that begins in line 1 is truncated or damaged. Copy the file again.")]
    [InlineData("damaged intermediate", "is truncated or damaged. Copy the file again.")]
    [InlineData("cut", "the certificate that begins in line 1 is truncated or damaged. Copy the file again.")]
    [InlineData("key is cut", "the PRIVATE KEY that begins in line 1 of")]
    [InlineData("DER", "the file is a certificate in DER; PEM is required. Convert it: openssl x509 -inform der -in")]
    [InlineData("key in DER", "is in DER; PEM is required. Convert it: openssl pkey -inform der -in")]
    [InlineData("another key", "does not match the certificate. Compare: openssl x509 -in")]
    [InlineData("key of another type", "has the type RSA, the certificate's key ECDSA. Set the path of the key for which the certificate was issued.")]
    [InlineData("Ed25519", "the certificate's key is Ed25519, which .NET does not support in TLS. Issue a certificate with an RSA or ECDSA key")]
    [InlineData("key password missing", "is encrypted and Password is not set. Set Password, or decrypt the key: openssl pkey -in")]
    [InlineData("key password wrong", "Password does not decrypt the key in")]
    [InlineData("key password needless", "is not encrypted and Password is set. Remove Password.")]
    [InlineData("key encrypted traditionally", "uses OpenSSL's traditional encryption (Proc-Type: 4,ENCRYPTED), which .NET does not support. Encrypt it again: openssl pkcs8 -topk8 -in")]
    [InlineData("PKCS #12 password missing", "the file is encrypted and Password is not set. Set Password.")]
    [InlineData("PKCS #12 password wrong", "Password does not decrypt the file. Test it: openssl pkcs12 -in")]
    [InlineData("PKCS #12 damaged", "and it is not PKCS #12, or it is damaged.")]
    [InlineData("PKCS #12 without key", "the file contains no private key. Export it with the key: openssl pkcs12 -export")]
    [InlineData("PKCS #7", "the file is PKCS #7. Convert it: openssl pkcs7")]
    public void Mistakes_FileCannotBeUsed_HasCauseAndRemedy(string input, string expected)
    {
        TlsCertificateOptions options = Prepare(input);
        var tls = new TlsServerOptions { Certificates = { options } };

        string error = Assert.Single(CertificateCheck.GetErrors(tls));

        Assert.StartsWith("Tls:Certificates:0: ", error, StringComparison.Ordinal);
        Assert.Contains(options.Path!, error, StringComparison.Ordinal);
        Assert.Contains(expected, error, StringComparison.Ordinal);
    }

    [Theory, Trait("Fault", "F78")]
    [InlineData("UTF-8 with a byte order mark")]
    [InlineData("UTF-16")]
    [InlineData("CRLF")]
    [InlineData("text in front")]
    [InlineData("reversed")]
    [InlineData("key first")]
    [InlineData("traditional key")]
    [InlineData("encrypted key")]
    [InlineData("RSA")]
    public void Load_UnusualButValid_IsRead(string input)
    {
        TlsCertificateOptions options = Prepare("valid");
        string certificate = File.ReadAllText(options.Path!);
        string key = File.ReadAllText(options.KeyPath!);
        using var ecdsa = ECDsa.Create();
        ecdsa.ImportFromPem(key);
        switch (input)
        {
            case "UTF-8 with a byte order mark":
                File.WriteAllText(options.Path!, certificate, new UTF8Encoding(true));
                File.WriteAllText(options.KeyPath!, key, new UTF8Encoding(true));
                break;
            case "UTF-16":
                File.WriteAllText(options.Path!, certificate, Encoding.Unicode);
                break;
            case "CRLF":
                File.WriteAllText(options.Path!, certificate.ReplaceLineEndings("\r\n"));
                break;
            case "text in front":
                File.WriteAllText(options.Path!, $"Bag Attributes\n    friendlyName: x\n{certificate}\ntrailing");
                break;
            case "reversed":
                File.WriteAllText(options.Path!, $"{Authority.Pem}\n{certificate}");
                break;
            case "key first":
                File.WriteAllText(options.Path!, $"{key}\n{certificate}");
                options.KeyPath = null;
                break;
            case "traditional key":
                File.WriteAllText(options.KeyPath!, ecdsa.ExportECPrivateKeyPem());
                break;
            case "encrypted key":
                File.WriteAllText(options.KeyPath!, Encrypt(ecdsa, "secret"));
                options.Password = "secret";
                break;
            case "RSA":
                using (var rsa = RSA.Create(2048))
                {
                    var request = new CertificateRequest("CN=valid", rsa, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
                    using X509Certificate2 own = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
                    File.WriteAllText(options.Path!, own.ExportCertificatePem());
                    File.WriteAllText(options.KeyPath!, rsa.ExportRSAPrivateKeyPem());
                }

                break;
        }

        Assert.Empty(CertificateCheck.GetErrors(new TlsServerOptions { Certificates = { options } }));
        Assert.Equal("valid", Assert.Single(CertificateCheck.GetValidity(new TlsServerOptions { Certificates = { options } })).Subject);
    }

    [Theory, Trait("Fault", "F78")]
    [InlineData("revocation list", "the file contains a certificate revocation list (X509 CRL), which .NET cannot load: revoked certificates would be accepted.")]
    [InlineData("trusted certificate", "the file contains a TRUSTED CERTIFICATE, an OpenSSL format that .NET ignores.")]
    [InlineData("damaged certificate", "the certificate that begins in line ")]
    [InlineData("key", "the file contains a private key and no certificate.")]
    [InlineData("DER", "the file is a certificate in DER; PEM is required.")]
    [InlineData("empty", "the file is empty.")]
    public void Mistakes_AuthoritiesCannotBeUsed_HasCauseAndRemedy(string input, string expected)
    {
        using X509Certificate2 revoked = Authority.IssueClient("bob");
        string ca = PathOf("ca.pem");
        File.WriteAllText(ca, input switch
        {
            "revocation list" => $"{Authority.Pem}\n{Authority.Revoke(revoked)}\n",
            "trusted certificate" => $"{Authority.Pem}\n{Authority.Pem.Replace("CERTIFICATE", "TRUSTED CERTIFICATE", StringComparison.Ordinal)}\n",
            "damaged certificate" => $"{Authority.Pem}\n{Authority.Pem.Replace("MII", "M!!", StringComparison.Ordinal)}\n",
            "key" => Authority.Certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem(),
            _ => string.Empty,
        });
        if (input == "DER")
        {
            File.WriteAllBytes(ca, Authority.Certificate.RawData);
        }

        var tls = new TlsServerOptions { Certificates = { Prepare("valid") }, ClientCertificates = ClientCertificates.Require, ClientCaPath = ca };

        string error = Assert.Single(CertificateCheck.GetErrors(tls));
        Assert.StartsWith($"Tls:ClientCaPath: {ca} cannot be used: {expected}", error, StringComparison.Ordinal);
        ArgumentException unusable = Assert.Throws<ArgumentException>(() => new TlsClientOptions { CaPath = ca }.CreateAuthenticationOptions());
        Assert.StartsWith($"Tls: {ca} cannot be used: {expected}", unusable.Message, StringComparison.Ordinal);
    }

    private static string Encrypt(ECDsa key, string password) =>
        key.ExportEncryptedPkcs8PrivateKeyPem(password, new(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000));

    private TlsCertificateOptions Prepare(string input)
    {
        using X509Certificate2 certificate = Authority.Issue("valid", ["localhost"]);
        TlsCertificateOptions options = Write("server", certificate);
        using ECDsa key = certificate.GetECDsaPrivateKey()!;
        string path = options.Path!;
        string text = File.ReadAllText(path);
        switch (input)
        {
            case "missing":
                File.Delete(path);
                break;
            case "folder":
                File.Delete(path);
                Directory.CreateDirectory(path);
                break;
            case "empty":
                File.WriteAllText(path, "\n");
                break;
            case "empty key":
                File.WriteAllText(options.KeyPath!, string.Empty);
                break;
            case "text":
                File.WriteAllText(path, "hello\n");
                break;
            case "key is text":
                File.WriteAllText(options.KeyPath!, "hello\n");
                break;
            case "key alone":
                (options.Path, options.KeyPath) = (options.KeyPath, null);
                break;
            case "certificate alone":
                options.KeyPath = null;
                break;
            case "key is a certificate":
                File.WriteAllText(options.KeyPath!, text);
                break;
            case "request":
                File.WriteAllText(path, new CertificateRequest("CN=x", key, HashAlgorithmName.SHA256).CreateSigningRequestPem());
                break;
            case "damaged":
                File.WriteAllText(path, text.Replace("MII", "M!!", StringComparison.Ordinal));
                break;
            case "damaged intermediate":
                File.WriteAllText(path, $"{text}\n{Authority.Pem.Replace("MII", "M!!", StringComparison.Ordinal)}");
                break;
            case "cut":
                File.WriteAllText(path, text[..(text.Length / 2)]);
                break;
            case "key is cut":
                File.WriteAllText(options.KeyPath!, File.ReadAllText(options.KeyPath!)[..100]);
                break;
            case "DER":
                File.WriteAllBytes(path, certificate.RawData);
                break;
            case "key in DER":
                File.WriteAllBytes(options.KeyPath!, key.ExportPkcs8PrivateKey());
                break;
            case "another key":
                using (X509Certificate2 another = Authority.IssueServer("localhost"))
                {
                    options.KeyPath = Write("another", another).KeyPath;
                }

                break;
            case "key of another type":
                using (var rsa = RSA.Create(2048))
                {
                    File.WriteAllText(options.KeyPath!, rsa.ExportPkcs8PrivateKeyPem());
                }

                break;
            case "Ed25519":
                File.WriteAllText(path, Ed25519Certificate);
                File.WriteAllText(options.KeyPath!, Ed25519Key);
                break;
            case "key password missing" or "key password wrong":
                File.WriteAllText(options.KeyPath!, Encrypt(key, "right"));
                options.Password = input == "key password wrong" ? "wrong" : null;
                break;
            case "key password needless":
                options.Password = "needless";
                break;
            case "key encrypted traditionally":
                File.WriteAllText(
                    options.KeyPath!,
                    "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n-----END EC PRIVATE KEY-----\n");
                break;
            case "PKCS #7":
                File.WriteAllText(path, PemEncoding.WriteString("PKCS7", new X509Certificate2Collection(certificate).Export(X509ContentType.Pkcs7)!));
                break;
            case "PKCS #12 password missing" or "PKCS #12 password wrong" or "PKCS #12 damaged" or "PKCS #12 without key":
                using (X509Certificate2 bare = X509CertificateLoader.LoadCertificate(certificate.RawData))
                {
                    byte[] pfx = (input == "PKCS #12 without key" ? bare : certificate).Export(X509ContentType.Pkcs12, "right");
                    if (input == "PKCS #12 damaged")
                    {
                        pfx = pfx[..^1];
                    }

                    File.WriteAllBytes(path, pfx);
                }

                options.KeyPath = null;
                options.Password = input switch
                {
                    "PKCS #12 password missing" => null,
                    "PKCS #12 password wrong" => "wrong",
                    _ => "right",
                };
                break;
        }

        return options;
    }
}
