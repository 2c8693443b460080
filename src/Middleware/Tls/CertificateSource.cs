using System.Security.Cryptography;
using ByteStreams.Transport.Text;

namespace ByteStreams.Tls;

/// <summary>The last loaded contents of a location, and the error of its files since. Its <see cref="CertificateWatcher"/> serialises the calls.</summary>
internal abstract class CertificateSource(CertificateLocation location)
{
    private FileContents? _last;
    private string? _pending;

    public CertificateLocation Location => location;

    public string Name => location.Name;

    /// <summary>The number of endpoints that use it.</summary>
    public int Users { get; set; }

    /// <summary>Why the current files cannot be used; null if they can, or have just changed.</summary>
    public string? Error { get; private set; }

    /// <summary>Raised with the reason if changed files cannot be used. The last loaded contents stay in use.</summary>
    public event Action<string>? Broken;

    public static bool IsUnusable(Exception error) =>
        error is CryptographicException or IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException;

    /// <summary>The number of accepted contents. A reading from before the last of them is stale.</summary>
    public int Version { get; private set; }

    /// <summary>Loads a reading, unless it equals the last loaded contents.</summary>
    /// <exception cref="ArgumentException">The files cannot be used; the message names them. The last loaded contents stay in use.</exception>
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
            throw new ArgumentException($"Tls: {Name} cannot be used: {ValidationErrors.GetMessage(error)}", error);
        }
    }

    /// <summary>Loads a reading if it has changed.</summary>
    public void Refresh(FileReading reading)
    {
        try
        {
            LoadIfChanged(GetOrForget(reading));
        }
        catch (Exception error) when (IsUnusable(error))
        {
            // A certificate and its key are replaced one after the other and do not match in between: an error only on the second poll.
            string text = ValidationErrors.GetMessage(error);
            if (Error is null && _pending == text)
            {
                Error = text;
                Broken?.Invoke(text);
            }

            _pending = text;
        }
    }

    protected abstract void Load(FileContents content);

    private FileContents GetOrForget(FileReading reading)
    {
        try
        {
            return reading.Get();
        }
        catch
        {
            // Files that come back count as changed, even with the same contents: the error is over, and a later one is reported again.
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

        // Unusable contents are loaded a second time before they are reported as an error.
        Load(now);
        (_pending, Error) = (null, null);
    }
}

/// <inheritdoc/>
/// <typeparam name="TLoaded">The type of the loaded contents.</typeparam>
/// <param name="location">The location.</param>
/// <param name="load">Loads the contents.</param>
internal sealed class CertificateSource<TLoaded>(CertificateLocation location, Func<FileContents, TLoaded> load) : CertificateSource(location)
    where TLoaded : class
{
    private volatile TLoaded? _current;

    /// <summary>The last loaded contents. All endpoints read this one field, so that they switch at the same moment.</summary>
    public TLoaded Current => _current!;

    /// <summary>Raised when changed files were loaded.</summary>
    public event Action<TLoaded>? Replaced;

    protected override void Load(FileContents content)
    {
        TLoaded loaded = load(content);
        _current = loaded;
        Replaced?.Invoke(loaded);
    }
}
