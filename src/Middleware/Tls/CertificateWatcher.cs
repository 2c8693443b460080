using System.Runtime.CompilerServices;

namespace ByteStreams.Tls;

/// <summary>
/// Compares the contents of the process's certificate files each second, which works however they are replaced: in place, by a rename, or
/// by Kubernetes' symbolic links. Endpoints with the same files share what is loaded.
/// </summary>
/// <param name="time">The clock. Endpoints share files if they share it.</param>
internal sealed class CertificateWatcher(TimeProvider time)
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);
    private static readonly ConditionalWeakTable<TimeProvider, CertificateWatcher> Watchers = [];

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
        lock (_gate)
        {
            CertificateSource source = _sources.GetValueOrDefault(location) ?? new CertificateSource<TLoaded>(location, load);
            source.LoadNow();
            if (location.Path is not null)
            {
                // The system's store is not watched: an endpoint has what was there when it started.
                _sources[location] = source;
            }

            source.Users++;
            return (CertificateSource<TLoaded>)source;
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
        lock (_gate)
        {
            LookAtAll();
        }
    }

    private void OnTimer()
    {
        // A file system that hangs holds up one thread, not one more each second.
        if (_gate.TryEnter())
        {
            try
            {
                LookAtAll();
            }
            finally
            {
                _gate.Exit();
            }
        }
    }

    private void LookAtAll()
    {
        foreach (CertificateSource source in _sources.Values)
        {
            source.Look();
        }

        Looked?.Invoke();
    }
}
