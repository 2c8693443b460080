using System.Runtime.ExceptionServices;

namespace ByteStreams.Tls;

/// <summary>The location of a certificate or of authorities. Endpoints with equal locations share one <see cref="CertificateSource"/>.</summary>
internal sealed record CertificateLocation(string? Path, string? KeyPath, string? Password, string? Store, string? Search, bool Staple, bool IsAuthorities)
{
    public string Name => Path is null ? "the store" : KeyPath is null ? Path : $"{Path} with {KeyPath}";

    public static CertificateLocation For(TlsCertificateOptions options, bool staple) => new(
        GetFullPath(options.Path), GetFullPath(options.KeyPath), options.Password,
        options.Store is null ? null : $"{options.StoreLocation}/{options.Store}", options.Thumbprint ?? options.Subject, staple, IsAuthorities: false);

    public static CertificateLocation ForAuthorities(string path) => new(GetFullPath(path), null, null, null, null, Staple: false, IsAuthorities: true);

    /// <summary>Returns the name, without the password.</summary>
    public override string ToString() => Name;

    /// <exception cref="CertificateFileException">A path is a directory.</exception>
    public FileContents Read() => new(Read(Path), Read(KeyPath));

    /// <summary>Reads the files, or captures the error. Blocks for as long as the file system does.</summary>
    public FileReading TryRead()
    {
        try
        {
            return new(Read(), null);
        }
        catch (Exception error) when (CertificateSource.IsUnusable(error))
        {
            return new(null, ExceptionDispatchInfo.Capture(error));
        }
    }

    private static string? GetFullPath(string? path) => path is null ? null : System.IO.Path.GetFullPath(path);

    private static byte[]? Read(string? path)
    {
        try
        {
            return path is null ? null : File.ReadAllBytes(path);
        }
        catch (UnauthorizedAccessException) when (Directory.Exists(path))
        {
            throw new CertificateFileException($"{path} is a directory. Set the path of a file.");
        }
    }
}
