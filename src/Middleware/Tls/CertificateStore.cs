using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ByteStreams.Configuration;
using ByteStreams.Telemetry;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Tls;

/// <summary>
/// The certificates of one endpoint, and the authorities of its clients. The files' contents are compared each second, which works
/// however they are replaced: in place, by a rename, or by Kubernetes' symbolic links. What cannot be used changes nothing (F23).
/// </summary>
internal sealed class CertificateStore : IDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private readonly TlsServerOptions _options;
    private readonly string _endpoint;
    private readonly ILogger _logger;
    private readonly ByteStreamMetrics _metrics;
    private readonly Lock _gate = new();
    private readonly Source[] _sources;
    private readonly Source? _authoritySource;
    private readonly ITimer _timer;
    private volatile ServerCertificate[] _certificates;
    private volatile X509Certificate2Collection? _authorities;

    /// <exception cref="ArgumentException">A file is missing or no certificate; the message names it.</exception>
    public CertificateStore(TlsServerOptions options, string endpoint, ByteStreamMetrics metrics, TimeProvider time, ILogger logger)
    {
        _options = options;
        _endpoint = endpoint;
        _metrics = metrics;
        _logger = logger;
        _sources = [.. options.Certificates.Select(certificate => new Source(certificate.Path, certificate.KeyPath))];
        _certificates = [.. options.Certificates.Select((certificate, i) => LoadFirst(_sources[i], () => Load(i, _sources[i].Read())))];
        if (options.ClientCaPath is not null)
        {
            _authoritySource = new Source(options.ClientCaPath, null);
            _authorities = LoadFirst(_authoritySource, () => LoadAuthorities(_authoritySource.Read()));
        }

        metrics.Watch(this, endpoint);
        using (ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow())
        {
            _timer = time.CreateTimer(static store => ((CertificateStore)store!).Look(), this, Period, Period);
        }
    }

    /// <summary>Looks whether the options and their files can be used, and keeps nothing. Each mistake begins with its key.</summary>
    public static IReadOnlyList<string> Mistakes(TlsServerOptions options)
    {
        var mistakes = new List<string>(options.Mistakes());
        for (int i = 0; i < options.Certificates.Count; i++)
        {
            TlsCertificateOptions certificate = options.Certificates[i];
            if (certificate.Mistakes().Any())
            {
                continue;
            }

            var source = new Source(certificate.Path, certificate.KeyPath);
            Note($"Certificates:{i}", source, "a certificate and its key, which belong together", () =>
            {
                Content content = source.Read();
                ServerCertificate.Load(certificate, content.File, content.Key, staple: false).Leaf.Dispose();
            });
        }

        if (options.ClientCaPath is not null)
        {
            var source = new Source(options.ClientCaPath, null);
            Note(nameof(TlsServerOptions.ClientCaPath), source, "certificates in PEM", () => LoadAuthorities(source.Read()));
        }

        return mistakes;

        void Note(string key, Source source, string remedy, Action load)
        {
            try
            {
                load();
            }
            catch (Exception error) when (IsUnusable(error))
            {
                mistakes.Add($"Tls:{key}: {source.Name} cannot be used: {Mistake.Text(error)} Name {remedy}, that the program may read.");
            }
        }
    }

    /// <summary>Names and times of certificates that are in order so far (<see cref="Mistakes"/>), in their order.</summary>
    public static IReadOnlyList<(string Subject, DateTimeOffset NotBefore, DateTimeOffset NotAfter)> Validity(TlsServerOptions options) =>
    [
        .. options.Certificates.Select(certificate =>
        {
            Content content = new Source(certificate.Path, certificate.KeyPath).Read();
            var loaded = ServerCertificate.Load(certificate, content.File, content.Key, staple: false);
            using X509Certificate2 leaf = loaded.Leaf;
            return (loaded.Subject, new DateTimeOffset(leaf.NotBefore), new DateTimeOffset(leaf.NotAfter));
        }),
    ];

    /// <summary>The clients' authorities at present; null where none are configured.</summary>
    public X509Certificate2Collection? Authorities => _authorities;

    /// <summary>The certificate for a name that a client asks for; null where there is none at all.</summary>
    public ServerCertificate? Select(string? host)
    {
        ServerCertificate[] all = _certificates;
        if (!string.IsNullOrEmpty(host))
        {
            foreach (ServerCertificate certificate in all)
            {
                if (certificate.Serves(host))
                {
                    return certificate;
                }
            }

            foreach (ServerCertificate certificate in all)
            {
                if (certificate.ServesByWildcard(host))
                {
                    return certificate;
                }
            }
        }

        for (int i = 0; i < all.Length; i++)
        {
            if (_options.Certificates[i].Default)
            {
                return all[i];
            }
        }

        return all.Length > 0 ? all[0] : null;
    }

    public IEnumerable<(string Subject, DateTimeOffset NotAfter)> Expiries() =>
        _certificates.Select(certificate => (certificate.Subject, new DateTimeOffset(certificate.Leaf.NotAfter)));

    /// <summary>Looks whether files have changed, and loads those that have.</summary>
    public void Look()
    {
        lock (_gate)
        {
            for (int i = 0; i < _sources.Length; i++)
            {
                int index = i;
                Reload(_sources[i], content =>
                {
                    ServerCertificate loaded = Load(index, content);
                    ServerCertificate[] next = [.. _certificates];
                    next[index] = loaded;
                    _certificates = next;
                    TlsLog.CertificateReplaced(_logger, _endpoint, _sources[index].Name, LogText.Escape(loaded.Subject), loaded.Leaf.NotAfter.ToUniversalTime());
                });
            }

            if (_authoritySource is not null)
            {
                Reload(_authoritySource, content =>
                {
                    X509Certificate2Collection loaded = LoadAuthorities(content);
                    _authorities = loaded;
                    TlsLog.AuthoritiesReplaced(_logger, _endpoint, _authoritySource.Name, loaded.Count);
                });
            }
        }
    }

    public void Dispose()
    {
        _metrics.Forget(this);
        _timer.Dispose();
    }

    private static TLoaded LoadFirst<TLoaded>(Source source, Func<TLoaded> load)
    {
        try
        {
            return load();
        }
        catch (Exception error) when (IsUnusable(error))
        {
            throw new ArgumentException($"Tls: {source.Name} cannot be used: {error.Message}", error);
        }
    }

    private static bool IsUnusable(Exception error) =>
        error is CryptographicException or IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException;

    private static X509Certificate2Collection LoadAuthorities(Content content)
    {
        X509Certificate2Collection authorities = [];
        authorities.ImportFromPem(Encoding.UTF8.GetString(content.File!));
        return authorities.Count > 0 ? authorities : throw new CryptographicException("The file has no certificate in PEM.");
    }

    private ServerCertificate Load(int index, Content content) =>
        ServerCertificate.Load(_options.Certificates[index], content.File, content.Key, _options.StapleOcsp);

    private void Reload(Source source, Action<Content> load)
    {
        try
        {
            if (source.ReadIfChanged() is Content changed)
            {
                load(changed);
                source.Settle(null);
                _metrics.CertificateReloaded(_endpoint, failed: false);
            }
        }
        catch (Exception error) when (IsUnusable(error))
        {
            // A pair is replaced file by file: in between it does not fit together, and only a look later is that an error.
            if (source.Settle(error.Message))
            {
                TlsLog.CertificateBroken(_logger, _endpoint, source.Name, error.Message);
                _metrics.CertificateReloaded(_endpoint, failed: true);
            }
        }
    }

    private sealed record Content(byte[]? File, byte[]? Key);

    /// <summary>One certificate's files, and what was in them at the last look.</summary>
    private sealed class Source(string? path, string? keyPath)
    {
        private Content _last = new(null, null);
        private string? _error;
        private bool _told;

        public string Name => keyPath is null ? path ?? "the store" : $"{path} with {keyPath}";

        public Content Read() => _last = ReadFiles();

        /// <summary>What is in the files now, if that is not what was there at the last look, or could not be used then.</summary>
        public Content? ReadIfChanged()
        {
            if (path is null)
            {
                return null;
            }

            Content now;
            try
            {
                now = ReadFiles();
            }
            catch
            {
                // What comes back is a change, though it may be what was there before: the error is over, and the next one is a new one.
                _last = new Content(null, null);
                throw;
            }

            if (Same(now.File, _last.File) && Same(now.Key, _last.Key))
            {
                // The same broken content a second time is told, and then left alone.
                return _error is not null && !_told ? now : null;
            }

            (_last, _error, _told) = (now, null, false);
            return now;
        }

        /// <summary>Notes how the look went. Answers whether an error is to be told: the same twice in a row, once.</summary>
        public bool Settle(string? error)
        {
            bool tell = error is not null && error == _error && !_told;
            _told = error is not null && (_told || tell);
            _error = error;
            return tell;
        }

        private static bool Same(byte[]? left, byte[]? right) => left.AsSpan().SequenceEqual(right);

        private Content ReadFiles() => path is null
            ? new Content(null, null)
            : new Content(File.ReadAllBytes(path), keyPath is null ? null : File.ReadAllBytes(keyPath));
    }
}
