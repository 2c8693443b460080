using System.Runtime.CompilerServices;
using ByteStreams.Connections;

namespace ByteStreams.Tls;

/// <summary>
/// Compares the contents of the process's certificate files each second, which works however they are replaced: in place, by a rename, or
/// by Kubernetes' symbolic links. Endpoints with the same files share what is loaded.
/// </summary>
/// <param name="time">The clock. Endpoints share files if they share it.</param>
internal sealed class CertificateWatcher(TimeProvider time) : ICertificateReloader
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);
    private static readonly ConditionalWeakTable<TimeProvider, CertificateWatcher> Watchers = [];

    /// <summary>Taken by one look at a time. Files are read outside of <see cref="_gate"/>: a file system that hangs holds up no start and no end.</summary>
    private readonly Lock _looking = new();

    private readonly Lock _gate = new();
    private readonly Dictionary<CertificateLocation, CertificateSource> _sources = [];
    private ITimer? _timer;

    /// <summary>Raised after each look, in the watcher's exclusive access.</summary>
    private event Action? Looked;

    public static CertificateWatcher For(TimeProvider time) => Watchers.GetValue(time, static time => new CertificateWatcher(time));

    /// <summary>Loads what a location has, or shares what is loaded.</summary>
    /// <exception cref="ArgumentException">A file is missing or cannot be used; the message names it.</exception>
    public CertificateSource<TLoaded> Acquire<TLoaded>(CertificateLocation location, Func<FileContents, TLoaded> load)
        where TLoaded : class
    {
        while (true)
        {
            int? version = VersionOf(location);
            FileReading reading = location.TryRead();
            lock (_gate)
            {
                CertificateSource? known = _sources.GetValueOrDefault(location);
                if (known?.Version != version)
                {
                    // What was read may be older than what another thread has taken over since.
                    continue;
                }

                CertificateSource source = known ?? new CertificateSource<TLoaded>(location, load);
                source.LoadNow(reading);
                if (location.Path is not null)
                {
                    // The system's store is not watched: an endpoint has what was there when it started.
                    _sources[location] = source;
                }

                source.Users++;
                return (CertificateSource<TLoaded>)source;
            }
        }
    }

    public void Release(CertificateSource source)
    {
        lock (_gate)
        {
            if (--source.Users == 0 && source.Location.Path is not null)
            {
                _sources.Remove(source.Location);
            }
        }
    }

    /// <summary>Calls <paramref name="looked"/> now, and after each look until it is <see cref="Unsubscribe">unsubscribed</see>.</summary>
    public void Subscribe(Action looked)
    {
        lock (_gate)
        {
            Looked += looked;
            looked();
            using (ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow())
            {
                _timer ??= time.CreateTimer(static watcher => ((CertificateWatcher)watcher!).OnTimer(), this, Period, Period);
            }
        }
    }

    public void Unsubscribe(Action looked)
    {
        lock (_gate)
        {
            Looked -= looked;
            if (Looked is null)
            {
                _timer?.Dispose();
                _timer = null;
            }
        }
    }

    /// <summary>Looks whether files have changed, and loads those that have.</summary>
    public void Look()
    {
        lock (_looking)
        {
            LookAtAll();
        }
    }

    private void OnTimer()
    {
        // A file system that hangs holds up one thread, not one more each second.
        if (_looking.TryEnter())
        {
            try
            {
                LookAtAll();
            }
            finally
            {
                _looking.Exit();
            }
        }
    }

    private void LookAtAll()
    {
        (CertificateSource Source, int Version)[] sources;
        lock (_gate)
        {
            sources = [.. _sources.Values.Select(static source => (source, source.Version))];
        }

        foreach ((CertificateSource source, int version) in sources)
        {
            FileReading reading = source.Location.TryRead();
            lock (_gate)
            {
                if (source.Users > 0 && source.Version == version)
                {
                    source.Look(reading);
                }
            }
        }

        lock (_gate)
        {
            Looked?.Invoke();
        }
    }

    private int? VersionOf(CertificateLocation location)
    {
        lock (_gate)
        {
            return _sources.GetValueOrDefault(location)?.Version;
        }
    }
}
