using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Tls;
using ByteStreams.Tls.OpenSsl;
using ByteStreams.Transport.Text;
using ByteStreams.Transport.Validation;

namespace ByteStreams;

/// <summary>The supported TLS versions. Older versions are insecure.</summary>
public enum TlsVersion
{
    /// <summary>TLS 1.2 (RFC 5246).</summary>
    Tls12,

    /// <summary>TLS 1.3 (RFC 8446).</summary>
    Tls13,
}

/// <summary>Whether client certificates are requested.</summary>
public enum ClientCertificates
{
    /// <summary>No certificate is requested.</summary>
    None,

    /// <summary>A certificate is requested. Clients without one are accepted; clients with an invalid one are rejected.</summary>
    Allow,

    /// <summary>A valid certificate is required.</summary>
    Require,
}

/// <summary>
/// The TLS options of an endpoint. Certificate files are polled once per second: new handshakes use a changed file, open connections keep
/// the certificate of their handshake, and an unusable file changes nothing.
/// </summary>
public sealed class TlsServerOptions
{
    /// <summary>The default of both server surfaces, as Kestrel's.</summary>
    internal static readonly TimeSpan DefaultHandshakeTimeout = TimeSpan.FromSeconds(10);

    /// <summary>The size that a ClientHello needs.</summary>
    private const int MinHandshakeSize = 1024;

    internal static OptionRanges<TlsServerOptions> Ranges { get; } = new(
        new DurationOption<TlsServerOptions>(nameof(HandshakeTimeout), DurationRange.Positive, o => o.HandshakeTimeout),
        new NumberOption<TlsServerOptions>(nameof(MaxHandshakes), NumberRange.AtLeastOne, o => o.MaxHandshakes),
        new NumberOption<TlsServerOptions>(nameof(MaxHandshakeSize), new(MinHandshakeSize), o => o.MaxHandshakeSize),
        new DurationOption<TlsServerOptions>(nameof(ShutdownTimeout), DurationRange.Positive, o => o.ShutdownTimeout));

    /// <summary>
    /// The certificates, at least one. The certificate of a handshake is the first whose names contain the requested name (SNI), else the first
    /// with a matching wildcard, else the first with <c>Default</c>, else the first of the list.
    /// </summary>
    public IList<TlsCertificateOptions> Certificates { get; } = [];

    /// <summary>The minimum TLS version: 1.2 by default.</summary>
    public TlsVersion MinimumVersion { get; set; } = TlsVersion.Tls12;

    /// <summary>The maximum TLS version: 1.3 by default.</summary>
    public TlsVersion MaximumVersion { get; set; } = TlsVersion.Tls13;

    /// <summary>The supported application protocols (ALPN) in order of preference, such as <c>my-protocol/1</c>: 1 to 255 bytes each. None by default; on an HTTP endpoint of the application's Kestrel, those of its <c>Protocols</c>.</summary>
    public IList<string> ApplicationProtocols { get; } = [];

    /// <summary>Whether client certificates are requested: <c>None</c> (the default), <c>Allow</c> or <c>Require</c>.</summary>
    public ClientCertificates ClientCertificates { get; set; }

    /// <summary>
    /// The file (PEM) of the authorities that are trusted to issue client certificates. Required if client certificates are requested, because the
    /// system's trusted roots would accept any public certificate. It must contain a root (a self-signed certificate), because a chain that ends
    /// in an intermediate is not trusted. A revocation list in it is an error: see <see cref="ClientRevocation"/>.
    /// </summary>
    public string? ClientCaPath { get; set; }

    /// <summary>The revocation check of client certificates: <c>NoCheck</c> (the default), <c>Online</c> or <c>Offline</c>.</summary>
    public X509RevocationMode ClientRevocation { get; set; } = X509RevocationMode.NoCheck;

    /// <summary>
    /// The allowed common names of client certificates. A certificate must match one entry of this list, of <see cref="AllowedDnsNames"/> or of
    /// <see cref="AllowedUris"/>; if all three are empty, every valid certificate is allowed. Prefer the other two, because name constraints of
    /// an authority (RFC 5280, 4.2.1.10) do not apply to common names.
    /// </summary>
    public IList<string> AllowedCommonNames { get; } = [];

    /// <summary>The allowed host names of client certificates (subject alternative names), case-insensitive.</summary>
    public IList<string> AllowedDnsNames { get; } = [];

    /// <summary>The allowed URIs of client certificates (subject alternative names), such as SPIFFE IDs. A trailing <c>*</c> matches every URI with that prefix.</summary>
    public IList<string> AllowedUris { get; } = [];

    /// <summary>The timeout of a handshake: 10 s by default, greater than zero.</summary>
    public TimeSpan HandshakeTimeout { get; set; } = DefaultHandshakeTimeout;

    /// <summary>
    /// The maximum number of handshakes in progress: 1,000 by default, at least 1. A further handshake aborts the oldest one, so that stalled
    /// clients do not keep others out.
    /// </summary>
    public int MaxHandshakes { get; set; } = 1000;

    /// <summary>
    /// The maximum number of bytes that a client may send in its handshake, certificate chain included: 32,768 by default, at least 1,024. The
    /// limit bounds the CPU time that this side spends on a client's certificate chain.
    /// </summary>
    public int MaxHandshakeSize { get; set; } = 32768;

    /// <summary>The timeout of a close, which sends the buffered bytes and close_notify. The connection is aborted after it: 30 s by default, greater than zero.</summary>
    public TimeSpan ShutdownTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Whether a client that closes without close_notify is a truncation (<see cref="TlsTruncatedException"/>). Null, the default, is true for a
    /// handler and false for a relay. False treats it as EOF; an attacker on the path can then truncate what the client sends. EOF within a
    /// record always is a truncation.
    /// </summary>
    public bool? RequireCloseNotify { get; set; }

    /// <summary>
    /// Whether to fetch the certificates' OCSP status from their authority and staple it: false by default, because it needs a connection to the
    /// authority. Supported where SslStream supports it (Linux and Windows).
    /// </summary>
    public bool StapleOcsp { get; set; }

    /// <summary>The implementation of TLS: <see cref="TlsEngine.Auto"/> by default.</summary>
    public TlsEngine Engine { get; set; }

    /// <summary>Called with the options of each handshake, to set what these options do not have. Null by default.</summary>
    public Action<SslServerAuthenticationOptions>? Configure { get; set; }

    /// <exception cref="ArgumentException">The options are not valid; the message has all errors.</exception>
    internal void Validate() => ValidationErrors.ThrowIfAny(GetErrors());

    /// <summary>Returns why OpenSSL cannot serve the endpoint; null if it can.</summary>
    internal string? FindUnsupported() => StapleOcsp ? "StapleOcsp is true" : null;

    /// <summary>Returns the validation errors. Each begins with its key.</summary>
    internal IEnumerable<string> GetErrors()
    {
        if (Certificates.Count == 0 && Configure is null)
        {
            yield return "Tls:Certificates is empty. Add at least one certificate, with a Path or a Store.";
        }

        for (int i = 0; i < Certificates.Count; i++)
        {
            foreach (string error in Certificates[i].GetErrors())
            {
                yield return $"Tls:Certificates:{i}: {error}";
            }
        }

        if (MinimumVersion > MaximumVersion)
        {
            yield return $"Tls:MinimumVersion is {MinimumVersion} and MaximumVersion {MaximumVersion}. Lower the minimum, or raise the maximum.";
        }

        foreach (string protocol in ApplicationProtocols)
        {
            if (System.Text.Encoding.UTF8.GetByteCount(protocol) is < 1 or > 255)
            {
                yield return $"Tls:ApplicationProtocols: '{protocol}' is not 1 to 255 bytes long (RFC 7301).";
            }
        }

        if (ClientCertificates != ClientCertificates.None && ClientCaPath is null)
        {
            yield return $"Tls:ClientCertificates is {ClientCertificates} and requires ClientCaPath. Set it to the file of the authorities that issue client certificates.";
        }

        if (ClientCertificates == ClientCertificates.None && (ClientCaPath is not null || AllowedCommonNames.Count + AllowedDnsNames.Count + AllowedUris.Count > 0))
        {
            yield return "Tls:ClientCertificates is None, so ClientCaPath and the allowed names have no effect. Set it to Require or Allow.";
        }

        foreach (string name in AllowedDnsNames.Where(static name => !HostNames.IsValid(name)))
        {
            yield return $"Tls:AllowedDnsNames: '{name}' is not a host name, so no certificate matches it. Move URIs to AllowedUris.";
        }

        foreach (string uri in AllowedUris.Where(static uri => !uri.Contains(':', StringComparison.Ordinal)))
        {
            yield return $"Tls:AllowedUris: '{uri}' is not a URI, so no certificate matches it. Write it with its scheme, such as spiffe://example.org/name; move host names to AllowedDnsNames.";
        }

        if (Engine == TlsEngine.OpenSsl && (OpenSslLibrary.Missing ?? FindUnsupported()) is string reason)
        {
            yield return $"Tls:Engine is OpenSsl, which cannot be used: {reason}. Set it to Auto or SslStream.";
        }

        foreach (string error in Ranges.Validate(this, "Tls:"))
        {
            yield return error;
        }
    }
}
