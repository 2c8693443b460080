using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Testing;

/// <summary>A <see cref="TestAuthority"/>, and what it signs as PEM files in a folder of their own.</summary>
public sealed class AuthorityFiles : IDisposable
{
    /// <summary>Makes the authority and its folder.</summary>
    public AuthorityFiles()
    {
        Folder = Directory.CreateTempSubdirectory("authority-").FullName;
        CaPath = Path.Combine(Folder, "ca.pem");
        File.WriteAllText(CaPath, Authority.Pem);
    }

    /// <summary>The authority.</summary>
    public TestAuthority Authority { get; } = new();

    /// <summary>The folder, which lives as long as this.</summary>
    public string Folder { get; }

    /// <summary>The file of the authority's own certificate.</summary>
    public string CaPath { get; }

    /// <summary>A certificate for localhost, as a pair of files.</summary>
    /// <param name="commonName">Its name.</param>
    /// <returns>Where the files are, as a server's options take it.</returns>
    public TlsCertificateOptions Write(string commonName)
    {
        using X509Certificate2 certificate = Authority.Issue(commonName, ["localhost"]);
        string path = Path.Combine(Folder, Guid.NewGuid().ToString("N"));
        File.WriteAllText(path + ".crt", certificate.ExportCertificatePem() + "\n");
        File.WriteAllText(path + ".key", certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem() + "\n");
        return new TlsCertificateOptions { Path = path + ".crt", KeyPath = path + ".key" };
    }

    /// <summary>Deletes the folder.</summary>
    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
