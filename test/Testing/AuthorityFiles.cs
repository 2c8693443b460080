using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Testing;

/// <summary>A <see cref="TestAuthority"/> and what it signs as PEM files, in a folder of their own.</summary>
internal sealed class AuthorityFiles : IDisposable
{
    private readonly TestAuthority _authority = new();

    public AuthorityFiles()
    {
        Folder = Directory.CreateTempSubdirectory("authority-").FullName;
        CaPath = Path.Combine(Folder, "ca.pem");
        File.WriteAllText(CaPath, _authority.Pem);
    }

    /// <summary>Who signs.</summary>
    public TestAuthority Authority => _authority;

    public string Folder { get; }

    /// <summary>The file of the authority's own certificate.</summary>
    public string CaPath { get; }

    /// <summary>A certificate for localhost, as a pair of files.</summary>
    public TlsCertificateOptions Write(string commonName)
    {
        using X509Certificate2 certificate = _authority.Issue(commonName, ["localhost"]);
        string path = Path.Combine(Folder, Guid.NewGuid().ToString("N"));
        File.WriteAllText(path + ".crt", certificate.ExportCertificatePem() + "\n");
        File.WriteAllText(path + ".key", certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem() + "\n");
        return new TlsCertificateOptions { Path = path + ".crt", KeyPath = path + ".key" };
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
