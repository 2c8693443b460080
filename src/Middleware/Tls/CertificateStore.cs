using System.Security.Cryptography.X509Certificates;
using ByteStreams.Connections;
using ByteStreams.Transport.Text;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Tls;

/// <summary>
/// The certificates of one endpoint, and the authorities of its clients, which a <see cref="CertificateWatcher"/> keeps up to date. What
/// cannot be used changes nothing (F23). One that is not valid is served with a warning (F78).
/// </summary>
internal sealed class CertificateStore : ICertificateReport, IDisposable
{
    private readonly string _endpoint;
    private readonly ILogger _logger;
    private readonly ByteStreamMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly CertificateWatcher _watcher;
    private readonly List<Entry> _entries = [];
    private readonly List<Action> _releases = [];
    private readonly CertificateSource<X509Certificate2Collection>? _authorities;
    private (X509Certificate2Collection? Of, CertificateValidity[] All) _authorityValidity = (null, []);

    /// <exception cref="ArgumentException">A file is missing or no certificate; the message names it.</exception>
    public CertificateStore(TlsServerOptions options, string endpoint, ByteStreamMetrics metrics, TimeProvider time, ILogger logger)
    {
        _endpoint = endpoint;
        _metrics = metrics;
        _time = time;
        _logger = logger;
        _watcher = CertificateWatcher.For(time);
        try
        {
            foreach (TlsCertificateOptions certificate in options.Certificates)
            {
                var location = CertificateLocation.Of(certificate, options.StapleOcsp);
                var entry = new Entry(certificate, Acquire(location, content => ServerCertificate.Load(certificate, content, options.StapleOcsp)));
                Follow(entry.Source, loaded =>
                    TlsLog.CertificateReplaced(_logger, _endpoint, entry.Source.Name, LogText.Escape(loaded.Subject), loaded.NotAfter.UtcDateTime));
                _entries.Add(entry);
            }

            if (options.ClientCaPath is not null)
            {
                _authorities = Acquire(CertificateLocation.OfAuthorities(options.ClientCaPath), static content => CertificateFile.LoadAuthorities(content.File!));
                Follow(_authorities, loaded => TlsLog.AuthoritiesReplaced(_logger, _endpoint, _authorities.Name, loaded.Count));
            }
        }
        catch
        {
            _releases.ForEach(static release => release());
            throw;
        }

        metrics.Watch(this, endpoint);
        _watcher.Subscribe(WarnOfValidity);
    }

    /// <summary>The clients' authorities at present; null where none are configured.</summary>
    public X509Certificate2Collection? Authorities => _authorities?.Current;

    /// <summary>Why the file of the clients' authorities, as it is now, cannot be used; null if it can.</summary>
    public string? AuthoritiesError => ErrorOf(_authorities);

    /// <summary>The certificate for a name that a client asks for; null where there is none at all.</summary>
    public ServerCertificate? Select(string? host)
    {
        if (!string.IsNullOrEmpty(host))
        {
            foreach (Entry entry in _entries)
            {
                if (entry.Names.Serves(host))
                {
                    return entry.Source.Current;
                }
            }

            foreach (Entry entry in _entries)
            {
                if (entry.Names.ServesByWildcard(host))
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
        _entries.Select(static entry => new CertificateSnapshot(entry.Source.Current.Subject, entry.Source.Current.NotAfter) { Error = ErrorOf(entry.Source) });

    /// <summary>What keeps it up to date, with all others of its clock.</summary>
    public ICertificateReloader Reloader => _watcher;

    /// <summary>Looks whether files have changed, and loads those that have.</summary>
    public void Look() => _watcher.Look();

    public void Dispose()
    {
        _metrics.Forget(this);
        _watcher.Unsubscribe(WarnOfValidity);
        _releases.ForEach(static release => release());
    }

    private static string? ErrorOf(CertificateSource? source) => source?.Error is string error ? $"{source.Name} cannot be used: {error}" : null;

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
            _metrics.CertificateReloaded(_endpoint, failed: false);
        }

        void OnBroken(string reason)
        {
            TlsLog.CertificateBroken(_logger, _endpoint, source.Name, reason);
            _metrics.CertificateReloaded(_endpoint, failed: true);
        }
    }

    private void WarnOfValidity()
    {
        foreach (Entry entry in _entries)
        {
            CertificateValidity validity = entry.Validity;
            string subject = LogText.Escape(validity.Subject);
            switch (validity.Due(_time))
            {
                case ValidityState.NotYetValid:
                    TlsLog.CertificateNotYetValid(_logger, _endpoint, subject, entry.Source.Name, validity.NotBefore.UtcDateTime);
                    break;
                case ValidityState.Expiring:
                    TlsLog.CertificateExpiring(_logger, _endpoint, subject, entry.Source.Name, validity.NotAfter.UtcDateTime);
                    break;
                case ValidityState.Expired:
                    TlsLog.CertificateExpired(_logger, _endpoint, subject, entry.Source.Name, validity.NotAfter.UtcDateTime);
                    break;
            }
        }

        if (_authorities?.Current is X509Certificate2Collection authorities && authorities != _authorityValidity.Of)
        {
            _authorityValidity = (authorities, [.. authorities.Select(static authority => new CertificateValidity(authority.Subject, authority))]);
        }

        foreach (CertificateValidity validity in _authorityValidity.All)
        {
            if (validity.Due(_time) != ValidityState.Valid)
            {
                TlsLog.AuthorityNotValid(
                    _logger, _endpoint, LogText.Escape(validity.Subject), _authorities!.Name, validity.NotBefore.UtcDateTime, validity.NotAfter.UtcDateTime);
            }
        }
    }

    private sealed class Entry(TlsCertificateOptions options, CertificateSource<ServerCertificate> source)
    {
        private readonly HostNames? _configured = options.Hosts.Count > 0 ? new HostNames(options.Hosts) : null;
        private (ServerCertificate? Of, CertificateValidity? Validity) _validity;

        public TlsCertificateOptions Options => options;

        public CertificateSource<ServerCertificate> Source => source;

        public HostNames Names => _configured ?? source.Current.Names;

        /// <summary>That of the certificate at present. Used in the watcher's exclusive access.</summary>
        public CertificateValidity Validity
        {
            get
            {
                ServerCertificate current = source.Current;
                if (current != _validity.Of)
                {
                    _validity = (current, new CertificateValidity(current.Subject, current.Leaf));
                }

                return _validity.Validity!;
            }
        }
    }
}
