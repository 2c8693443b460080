using System.Security.Cryptography.X509Certificates;
using ByteStreams.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Tls;

/// <summary>
/// The certificates of one endpoint, selected by server name, and the authorities of its clients. A <see cref="CertificateWatcher"/> reloads
/// changed files; the last usable contents stay if changed files are unusable (F23). A certificate that is not valid is served with a warning (F78).
/// </summary>
internal sealed class CertificateStore : ICertificateReport, IDisposable
{
    private readonly string _endpoint;
    private readonly ILogger _logger;
    private readonly ByteStreamMetrics? _metrics;
    private readonly CertificateWatcher _watcher;
    private readonly List<Entry> _entries = [];
    private readonly List<Action> _releases = [];
    private readonly CertificateSource<X509Certificate2Collection>? _authorities;
    private readonly CertificateWarnings _warnings;

    /// <param name="options">The options.</param>
    /// <param name="endpoint">The endpoint's name in log messages and metrics.</param>
    /// <param name="metrics">Null for a store of one handshake, which is not reported.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">The logger.</param>
    /// <exception cref="ArgumentException">A file is missing or unusable; the message names it.</exception>
    public CertificateStore(TlsServerOptions options, string endpoint, ByteStreamMetrics? metrics, TimeProvider time, ILogger logger)
    {
        _endpoint = endpoint;
        _metrics = metrics;
        _logger = logger;
        _watcher = CertificateWatcher.For(time);
        try
        {
            foreach (TlsCertificateOptions certificate in options.Certificates)
            {
                var location = CertificateLocation.For(certificate, options.StapleOcsp);
                var entry = new Entry(certificate, Acquire(location, content => ServerCertificate.Load(certificate, content, options.StapleOcsp)));
                Follow(entry.Source, loaded =>
                    TlsLog.CertificateReloaded(_logger, _endpoint, entry.Source.Name, LogText.Escape(loaded.Subject), loaded.NotAfter.UtcDateTime));
                _entries.Add(entry);
            }

            if (options.ClientCaPath is not null)
            {
                _authorities = Acquire(CertificateLocation.ForAuthorities(options.ClientCaPath), static content => CertificateFile.LoadAuthorities(content.File!));
                Follow(_authorities, loaded => TlsLog.AuthoritiesReloaded(_logger, _endpoint, _authorities.Name, loaded.Count));
            }
        }
        catch
        {
            _releases.ForEach(static release => release());
            throw;
        }

        _warnings = new CertificateWarnings(endpoint, [.. _entries.Select(static entry => entry.Source)], _authorities, time, logger);
        metrics?.Watch(this, endpoint);
        _watcher.Subscribe(_warnings.Check);
    }

    /// <summary>The current authorities of clients; null if none are configured.</summary>
    public X509Certificate2Collection? Authorities => _authorities?.Current;

    /// <summary>Why the current file of the client authorities cannot be used; null if it can.</summary>
    public string? AuthoritiesError => GetError(_authorities);

    /// <summary>The watcher, which all stores of one clock share.</summary>
    public ICertificateReloader Reloader => _watcher;

    /// <summary>Selects the certificate for a server name: an exact name, a wildcard, the default, the first; null if there is none.</summary>
    public ServerCertificate? Select(string? host)
    {
        if (!string.IsNullOrEmpty(host))
        {
            foreach (Entry entry in _entries)
            {
                if (entry.Names.Contains(host))
                {
                    return entry.Source.Current;
                }
            }

            foreach (Entry entry in _entries)
            {
                if (entry.Names.MatchesWildcard(host))
                {
                    return entry.Source.Current;
                }
            }
        }

        foreach (Entry entry in _entries)
        {
            if (entry.Options.Default)
            {
                return entry.Source.Current;
            }
        }

        return _entries.Count > 0 ? _entries[0].Source.Current : null;
    }

    public IEnumerable<CertificateSnapshot> Snapshots() =>
        _entries.Select(static entry => new CertificateSnapshot(entry.Source.Current.Subject, entry.Source.Current.NotAfter) { Error = GetError(entry.Source) });

    public void Dispose()
    {
        _metrics?.Forget(this);
        _watcher.Unsubscribe(_warnings.Check);
        _releases.ForEach(static release => release());
    }

    private static string? GetError(CertificateSource? source) => source?.Error is string error ? $"{source.Name} cannot be used: {error}" : null;

    private CertificateSource<TLoaded> Acquire<TLoaded>(CertificateLocation location, Func<FileContents, TLoaded> load)
        where TLoaded : class
    {
        CertificateSource<TLoaded> source = _watcher.Acquire(location, load);
        _releases.Add(() => _watcher.Release(source));
        return source;
    }

    private void Follow<TLoaded>(CertificateSource<TLoaded> source, Action<TLoaded> replaced)
        where TLoaded : class
    {
        source.Replaced += OnReplaced;
        source.Broken += OnBroken;
        _releases.Add(() =>
        {
            source.Replaced -= OnReplaced;
            source.Broken -= OnBroken;
        });

        void OnReplaced(TLoaded loaded)
        {
            replaced(loaded);
            _metrics?.CertificateReloaded(_endpoint, failed: false);
        }

        void OnBroken(string reason)
        {
            TlsLog.CertificateReloadFailed(_logger, _endpoint, source.Name, reason);
            _metrics?.CertificateReloaded(_endpoint, failed: true);
        }
    }

    private sealed class Entry(TlsCertificateOptions options, CertificateSource<ServerCertificate> source)
    {
        private readonly HostNames? _configured = options.Hosts.Count > 0 ? new HostNames(options.Hosts) : null;

        public TlsCertificateOptions Options => options;

        public CertificateSource<ServerCertificate> Source => source;

        public HostNames Names => _configured ?? source.Current.Names;
    }
}
