using System.Runtime.ExceptionServices;
using System.Security.Cryptography;
using ByteStreams.Transport.Text;

namespace ByteStreams.Tls;

/// <summary>What is in the files of a certificate: nothing for a certificate in the system's store.</summary>
internal sealed record FileContents(byte[]? File, byte[]? Key)
{
    public bool Equals(FileContents? other) => other is not null && Same(File, other.File) && Same(Key, other.Key);

    public override int GetHashCode() => HashCode.Combine(File?.Length, Key?.Length);

    private static bool Same(byte[]? left, byte[]? right) => left.AsSpan().SequenceEqual(right);
}

/// <summary>What a location had when it was read: contents, or the error.</summary>
internal readonly record struct FileReading(FileContents? Contents, ExceptionDispatchInfo? Error)
{
    public FileContents Get()
    {
        Error?.Throw();
        return Contents!;
    }
}

/// <summary>Where a certificate or authorities are. Sources that are equal are loaded once, for all endpoints.</summary>
internal sealed record CertificateLocation(string? Path, string? KeyPath, string? Password, string? Store, string? Search, bool Staple, bool IsAuthorities)
{
    public string Name => Path is null ? "the store" : KeyPath is null ? Path : $"{Path} with {KeyPath}";

    public static CertificateLocation Of(TlsCertificateOptions options, bool staple) => new(
        Full(options.Path), Full(options.KeyPath), options.Password,
        options.Store is null ? null : $"{options.StoreLocation}/{options.Store}", options.Thumbprint ?? options.Subject, staple, IsAuthorities: false);

    public static CertificateLocation OfAuthorities(string path) => new(Full(path), null, null, null, null, Staple: false, IsAuthorities: true);

    /// <summary>Without the password.</summary>
    public override string ToString() => Name;

    /// <exception cref="CertificateFileException">A path is that of a folder.</exception>
    public FileContents Read() => new(Read(Path), Read(KeyPath));

    /// <summary>Reads the files, or notes why they cannot be read. It may wait for as long as a file system does.</summary>
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

    private static string? Full(string? path) => path is null ? null : System.IO.Path.GetFullPath(path);

    private static byte[]? Read(string? path)
    {
        try
        {
            return path is null ? null : File.ReadAllBytes(path);
        }
        catch (UnauthorizedAccessException) when (Directory.Exists(path))
        {
            throw new CertificateFileException($"{path} is a folder. Name the file in it.");
        }
    }
}

/// <summary>What one location has: what was loaded last, and what is wrong with the files since. Its <see cref="CertificateWatcher"/> calls one method at a time.</summary>
internal abstract class CertificateSource(CertificateLocation location)
{
    private FileContents? _last;
    private string? _pending;

    public CertificateLocation Location => location;

    public string Name => location.Name;

    /// <summary>Endpoints that use it.</summary>
    public int Users { get; set; }

    /// <summary>Why the files as they are cannot be used; null if they can, or have just changed.</summary>
    public string? Error { get; private set; }

    /// <summary>Raised with the reason if changed files cannot be used; what was loaded last stays.</summary>
    public event Action<string>? Broken;

    public static bool IsUnusable(Exception error) =>
        error is CryptographicException or IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException;

    /// <summary>Counts the contents that were taken over: what was read before the last of them is outdated.</summary>
    public int Version { get; private set; }

    /// <summary>Loads the files, as they were read, if they are not what was loaded last.</summary>
    /// <exception cref="ArgumentException">They cannot be used; the message names them. What was loaded last stays.</exception>
    public void LoadNow(FileReading reading)
    {
        try
        {
            FileContents now = reading.Get();
            if (_last is null || _pending is not null || now != _last)
            {
                Load(now);
                (_last, _pending, Error) = (now, null, null);
                Version++;
            }
        }
        catch (Exception error) when (IsUnusable(error))
        {
            throw new ArgumentException($"Tls: {Name} cannot be used: {Mistake.Text(error)}", error);
        }
    }

    /// <summary>Loads the files, as they were read, if they have changed.</summary>
    public void Look(FileReading reading)
    {
        try
        {
            LoadIfChanged(GetAnew(reading));
        }
        catch (Exception error) when (IsUnusable(error))
        {
            // A pair is replaced file by file: in between it does not fit together, and only a look later is that an error.
            string text = Mistake.Text(error);
            if (Error is null && _pending == text)
            {
                Error = text;
                Broken?.Invoke(text);
            }

            _pending = text;
        }
    }

    protected abstract void Load(FileContents content);

    private FileContents GetAnew(FileReading reading)
    {
        try
        {
            return reading.Get();
        }
        catch
        {
            // What comes back is a change, though it may be what was there before: the error is over, and the next one is a new one.
            _last = null;
            throw;
        }
    }

    private void LoadIfChanged(FileContents now)
    {
        if (now != _last)
        {
            (_last, _pending, Error) = (now, null, null);
            Version++;
        }
        else if (_pending is null || Error is not null)
        {
            return;
        }

        // Contents that could not be used are loaded a second time before that is an error.
        Load(now);
        (_pending, Error) = (null, null);
    }
}

/// <typeparam name="TLoaded">What the files are loaded as.</typeparam>
/// <param name="location">Where they are.</param>
/// <param name="load">Loads them.</param>
internal sealed class CertificateSource<TLoaded>(CertificateLocation location, Func<FileContents, TLoaded> load) : CertificateSource(location)
    where TLoaded : class
{
    private volatile TLoaded? _current;

    /// <summary>What was loaded last. One field for all endpoints: they take a new one over at the same moment.</summary>
    public TLoaded Current => _current!;

    /// <summary>Raised if changed files were loaded.</summary>
    public event Action<TLoaded>? Replaced;

    protected override void Load(FileContents content)
    {
        TLoaded loaded = load(content);
        _current = loaded;
        Replaced?.Invoke(loaded);
    }
}
