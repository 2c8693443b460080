using System.Runtime.CompilerServices;
using ByteStreams.Connections;

namespace ByteStreams.Tls;

/// <summary>
/// Polls the contents of the process's certificate files once per second. Polling detects every kind of replacement: in place, by rename, and by
/// Kubernetes' symbolic links. Endpoints with the same files share the loaded contents.
/// </summary>
/// <param name="time">The clock. Endpoints share files only if they share the clock.</param>
internal sealed class CertificateWatcher(TimeProvider time) : ICertificateReloader
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);
    private static readonly ConditionalWeakTable<TimeProvider, CertificateWatcher> Watchers = [];

    /// <summary>Held by one poll. Taken before <see cref="_gate"/>.</summary>
    private readonly Lock _polling = new();

    /// <summary>Guards the fields below. Not held while files are read: a hanging file system blocks neither start nor stop.</summary>
    private readonly Lock _gate = new();
    private readonly Dictionary<CertificateLocation, CertificateSource> _sources = [];
    private ITimer? _timer;

    /// <summary>Raised after each poll, under <see cref="_gate"/>.</summary>
    private event Action? Polled;

    public static CertificateWatcher For(TimeProvider time) => Watchers.GetValue(time, static time => new CertificateWatcher(time));

    /// <summary>Loads the contents of a location, or shares them if they are loaded.</summary>
    /// <exception cref="ArgumentException">A file is missing or unusable; the message names it.</exception>
    public CertificateSource<TLoaded> Acquire<TLoaded>(CertificateLocation location, Func<FileContents, TLoaded> load)
        where TLoaded : class
    {
        while (true)
        {
            int? version = GetVersion(location);
            FileReading reading = location.TryRead();
            lock (_gate)
            {
                CertificateSource? known = _sources.GetValueOrDefault(location);
                if (known?.Version != version)
                {
                    // Another thread has loaded newer contents since the read.
                    continue;
                }

                CertificateSource source = known ?? new CertificateSource<TLoaded>(location, load);
                source.LoadNow(reading);
                if (location.Path is not null)
                {
                    // The system's store is not polled: an endpoint keeps the certificate that it started with.
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

    /// <summary>Calls <paramref name="polled"/> now, and after each poll until <see cref="Unsubscribe"/>.</summary>
    public void Subscribe(Action polled)
    {
        lock (_gate)
        {
            Polled += polled;
            polled();
            using (ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow())
            {
                _timer ??= time.CreateTimer(static watcher => ((CertificateWatcher)watcher!).OnTimer(), this, Period, Period);
            }
        }
    }

    public void Unsubscribe(Action polled)
    {
        lock (_gate)
        {
            Polled -= polled;
            if (Polled is null)
            {
                _timer?.Dispose();
                _timer = null;
            }
        }
    }

    /// <summary>Polls now: loads the files that have changed.</summary>
    public void Look()
    {
        lock (_polling)
        {
            PollAll();
        }
    }

    private void OnTimer()
    {
        // A hanging file system blocks one thread, not one more each second.
        if (_polling.TryEnter())
        {
            try
            {
                PollAll();
            }
            finally
            {
                _polling.Exit();
            }
        }
    }

    private void PollAll()
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
                    source.Refresh(reading);
                }
            }
        }

        lock (_gate)
        {
            Polled?.Invoke();
        }
    }

    private int? GetVersion(CertificateLocation location)
    {
        lock (_gate)
        {
            return _sources.GetValueOrDefault(location)?.Version;
        }
    }
}
