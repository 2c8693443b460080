using System.Net.Security;
using System.Security.Cryptography;
using ByteStreams.Tls;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Relay;

/// <summary>
/// The options of TLS handshakes with upstreams. Changed files are reloaded, because short-lived certificates are replaced every few hours. The
/// files are checked when a connection is opened, at most once per second. Thread-safe.
/// </summary>
internal sealed class UpstreamTls
{
    private static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(1);

    private readonly TlsClientOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private SslClientAuthenticationOptions _current;
    private CertificateValidity? _validity;
    private byte[] _hash;
    private long _checkedAt;

    /// <exception cref="ArgumentException">A file is missing or unusable.</exception>
    public UpstreamTls(TlsClientOptions options, TimeProvider time, ILogger logger)
    {
        _options = options;
        _time = time;
        _logger = logger;
        _current = options.CreateAuthenticationOptions();
        _validity = GetValidity(_current);
        _hash = HashFiles() ?? [];
        _checkedAt = time.GetTimestamp();
        WarnIfNotValid();
    }

    public SslClientAuthenticationOptions Current
    {
        get
        {
            lock (_gate)
            {
                if (_time.GetElapsedTime(_checkedAt) >= CheckInterval)
                {
                    _checkedAt = _time.GetTimestamp();
                    ReloadIfChanged();
                    WarnIfNotValid();
                }

                return _current;
            }
        }
    }

    private void ReloadIfChanged()
    {
        if (HashFiles() is not byte[] hash || hash.AsSpan().SequenceEqual(_hash))
        {
            return;
        }

        try
        {
            _current = _options.CreateAuthenticationOptions();
            _validity = GetValidity(_current);
        }
        catch (ArgumentException unusable)
        {
            RelayLog.TlsReloadFailed(_logger, unusable.Message);
        }

        // An unusable file is logged once, and loaded again after its next change.
        _hash = hash;
    }

    private static CertificateValidity? GetValidity(SslClientAuthenticationOptions options) =>
        options.ClientCertificateContext?.TargetCertificate is { } shown ? new CertificateValidity(shown.Subject, shown) : null;

    /// <summary>Logs a warning about a client certificate that is not valid, as <see cref="CertificateWarnings"/> does for endpoints.</summary>
    private void WarnIfNotValid()
    {
        if (_validity is not null && _validity.GetDueWarning(_time) != ValidityState.Valid)
        {
            RelayLog.CertificateNotValid(
                _logger, LogText.Escape(_validity.Subject), _options.Certificate!.Path ?? "the store", _validity.NotBefore.UtcDateTime, _validity.NotAfter.UtcDateTime);
        }
    }

    /// <summary>Hashes the contents of the files. Returns null if a file cannot be read now.</summary>
    private byte[]? HashFiles()
    {
        try
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            foreach (string? file in (string?[])[_options.CaPath, _options.Certificate?.Path, _options.Certificate?.KeyPath])
            {
                if (file is not null)
                {
                    hash.AppendData(SHA256.HashData(File.ReadAllBytes(file)));
                }
            }

            return hash.GetHashAndReset();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
