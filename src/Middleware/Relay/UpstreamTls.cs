using System.Net.Security;
using System.Security.Cryptography;
using ByteStreams.Tls;
using ByteStreams.Transport.Text;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Relay;

/// <summary>
/// The options of handshakes with upstreams, made anew when their files have changed: short-lived certificates are replaced every few
/// hours. It looks when a connection is opened, at most once a second. Thread-safe.
/// </summary>
internal sealed class UpstreamTls
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly TlsClientOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private SslClientAuthenticationOptions _current;
    private CertificateValidity? _validity;
    private byte[] _content;
    private long _lookedAt;

    /// <exception cref="ArgumentException">A file is missing or is no certificate.</exception>
    public UpstreamTls(TlsClientOptions options, TimeProvider time, ILogger logger)
    {
        _options = options;
        _time = time;
        _logger = logger;
        _current = options.CreateAuthenticationOptions();
        _validity = ValidityOf(_current);
        _content = Content() ?? [];
        _lookedAt = time.GetTimestamp();
        WarnOfValidity();
    }

    public SslClientAuthenticationOptions Current
    {
        get
        {
            lock (_gate)
            {
                if (_time.GetElapsedTime(_lookedAt) >= Pause)
                {
                    _lookedAt = _time.GetTimestamp();
                    Look();
                    WarnOfValidity();
                }

                return _current;
            }
        }
    }

    private void Look()
    {
        if (Content() is not byte[] content || content.AsSpan().SequenceEqual(_content))
        {
            return;
        }

        try
        {
            _current = _options.CreateAuthenticationOptions();
            _validity = ValidityOf(_current);
        }
        catch (ArgumentException unusable)
        {
            RelayLog.TlsBroken(_logger, unusable.Message);
        }

        // A broken file is told once, and looked at again when it has changed.
        _content = content;
    }

    private static CertificateValidity? ValidityOf(SslClientAuthenticationOptions options) =>
        options.ClientCertificateContext?.TargetCertificate is { } shown ? new CertificateValidity(shown.Subject, shown) : null;

    /// <summary>Warns of the certificate that upstreams are shown, as <see cref="CertificateStore"/> does of those of endpoints.</summary>
    private void WarnOfValidity()
    {
        if (_validity is not null && _validity.Due(_time) != ValidityState.Valid)
        {
            RelayLog.CertificateNotValid(
                _logger, LogText.Escape(_validity.Subject), _options.Certificate!.Path ?? "the store", _validity.NotBefore.UtcDateTime, _validity.NotAfter.UtcDateTime);
        }
    }

    /// <summary>What the files contain, in short; null where one cannot be read just now.</summary>
    private byte[]? Content()
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
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
