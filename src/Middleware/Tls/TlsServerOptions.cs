using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Tls;
using ByteStreams.Transport.Text;

namespace ByteStreams;

/// <summary>Versions of TLS. Older ones are broken and not offered.</summary>
public enum TlsVersion
{
    /// <summary>TLS 1.2 (RFC 5246).</summary>
    Tls12,

    /// <summary>TLS 1.3 (RFC 8446).</summary>
    Tls13,
}

/// <summary>Whether clients show certificates.</summary>
public enum ClientCertificates
{
    /// <summary>They are not asked.</summary>
    None,

    /// <summary>They are asked; who shows none is served too, who shows a bad one is not.</summary>
    Allow,

    /// <summary>They must.</summary>
    Require,
}

/// <summary>
/// TLS for an endpoint's clients. Certificate files are looked at each second; a changed one serves the next handshakes, connections
/// that are open keep theirs, and a broken one changes nothing.
/// </summary>
public sealed class TlsServerOptions
{
    /// <summary>What a ClientHello alone needs.</summary>
    internal const int LeastHandshakeSize = 1024;

    /// <summary>
    /// The certificates, at least one. A client gets the one whose names contain the name that it asks for (SNI), else one with a
    /// wildcard for it, else the default: the first that says so, or the first of all.
    /// </summary>
    public IList<TlsCertificateOptions> Certificates { get; } = [];

    /// <summary>The oldest version: 1.2 by default.</summary>
    public TlsVersion MinimumVersion { get; set; } = TlsVersion.Tls12;

    /// <summary>The newest version: 1.3 by default.</summary>
    public TlsVersion MaximumVersion { get; set; } = TlsVersion.Tls13;

    /// <summary>The application protocols to choose from (ALPN), best first, such as <c>my-protocol/1</c>: 1 to 255 bytes each. None by default; on an HTTP endpoint of the application's Kestrel, those of its <c>Protocols</c>.</summary>
    public IList<string> ApplicationProtocols { get; } = [];

    /// <summary>Whether clients show certificates: none by default.</summary>
    public ClientCertificates ClientCertificates { get; set; }

    /// <summary>
    /// The file (PEM) of the authorities that sign clients' certificates. Required where clients are asked for one: the system's own list
    /// would accept any client with any certificate. It has at least one root (a self-signed certificate): a chain that ends in an
    /// intermediate is not trusted. A revocation list in it is an error: see <see cref="ClientRevocation"/>.
    /// </summary>
    public string? ClientCaPath { get; set; }

    /// <summary>Whether clients' certificates are looked up as revoked: <c>NoCheck</c> by default, <c>Online</c>, <c>Offline</c>.</summary>
    public X509RevocationMode ClientRevocation { get; set; } = X509RevocationMode.NoCheck;

    /// <summary>
    /// Common names that may connect. Where this and the next two lists are empty, every client with a valid certificate may; else one match
    /// in one list is enough. Prefer the next two: an authority's name constraints (RFC 5280, 4.2.1.10) do not bind common names, so that an
    /// authority that is limited to some hosts can issue a certificate with any common name.
    /// </summary>
    public IList<string> AllowedCommonNames { get; } = [];

    /// <summary>Host names that may connect (subject alternative names), whatever their case.</summary>
    public IList<string> AllowedDnsNames { get; } = [];

    /// <summary>URIs that may connect (subject alternative names), such as SPIFFE ids; one that ends in <c>*</c> allows all that begin alike.</summary>
    public IList<string> AllowedUris { get; } = [];

    /// <summary>How long a handshake may take: 10 s by default, greater than zero.</summary>
    public TimeSpan HandshakeTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Handshakes in progress at once: 1,000 by default, at least 1. One more ends the oldest: clients that stall keep no others
    /// out.
    /// </summary>
    public int MaxHandshakes { get; set; } = 1000;

    /// <summary>
    /// The most bytes that a client may send in its handshake, its certificate chain included: 32,768 by default, at least 1,024. A chain of
    /// many or large certificates costs this side the time to parse and to verify it.
    /// </summary>
    public int MaxHandshakeSize { get; set; } = 32768;

    /// <summary>How long a close may take to send what was written and close_notify, before it is an abort: 30 s by default, greater than zero.</summary>
    public TimeSpan ShutdownTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Whether an end of the client without close_notify is a truncation (<see cref="TlsTruncatedException"/>). By default (null) it is one
    /// for a handler, and for a relay the end, which is passed on. False takes it for the end: an attacker on the path can then cut what
    /// the client sends, unnoticed. A record that is cut in the middle is a truncation in any case.
    /// </summary>
    public bool? RequireCloseNotify { get; set; }

    /// <summary>
    /// Whether the certificates' status is fetched from their authority and stapled (OCSP). False by default: it takes a
    /// connection to the authority. Linux and Windows, as far as SslStream does it.
    /// </summary>
    public bool StapleOcsp { get; set; }

    /// <summary>Called last for each handshake's options, for what is not here. Null by default.</summary>
    public Action<SslServerAuthenticationOptions>? Configure { get; set; }

    /// <exception cref="ArgumentException">Anything is wrong; the message tells it all.</exception>
    internal void Validate() => Mistake.ThrowIfAny(Mistakes());

    /// <summary>What is wrong; each begins with its key.</summary>
    internal IEnumerable<string> Mistakes()
    {
        if (Certificates.Count == 0 && Configure is null)
        {
            yield return "Tls:Certificates is empty: give at least one, with a Path or a Store.";
        }

        for (int i = 0; i < Certificates.Count; i++)
        {
            foreach (string mistake in Certificates[i].Mistakes())
            {
                yield return $"Tls:Certificates:{i}: {mistake}";
            }
        }

        if (MinimumVersion > MaximumVersion)
        {
            yield return "Tls:MinimumVersion is above MaximumVersion.";
        }

        foreach (string protocol in ApplicationProtocols)
        {
            if (System.Text.Encoding.UTF8.GetByteCount(protocol) is < 1 or > 255)
            {
                yield return "Tls:ApplicationProtocols: each is 1 to 255 bytes long (RFC 7301).";
            }
        }

        if (ClientCertificates != ClientCertificates.None && ClientCaPath is null)
        {
            yield return $"Tls:ClientCertificates is {ClientCertificates} and needs ClientCaPath, the file of the authorities that sign clients' certificates.";
        }

        if (ClientCertificates == ClientCertificates.None && (ClientCaPath is not null || AllowedCommonNames.Count + AllowedDnsNames.Count + AllowedUris.Count > 0))
        {
            yield return "Tls:ClientCertificates is None, and so ClientCaPath and the allowed names would do nothing. Set it to Require or Allow.";
        }

        foreach (string name in AllowedDnsNames.Where(static name => !HostNames.IsName(name)))
        {
            yield return $"Tls:AllowedDnsNames: '{name}' is no host name, and no certificate can have it. URIs belong to AllowedUris.";
        }

        foreach (string uri in AllowedUris.Where(static uri => !uri.Contains(':', StringComparison.Ordinal)))
        {
            yield return $"Tls:AllowedUris: '{uri}' is no URI, and no certificate can have it. Write it with its scheme, such as spiffe://example.org/name; host names belong to AllowedDnsNames.";
        }

        if (HandshakeTimeout <= TimeSpan.Zero || ShutdownTimeout <= TimeSpan.Zero)
        {
            yield return "Tls:HandshakeTimeout and ShutdownTimeout are greater than zero.";
        }

        if (MaxHandshakes < 1)
        {
            yield return "Tls:MaxHandshakes is at least 1.";
        }

        if (MaxHandshakeSize < LeastHandshakeSize)
        {
            yield return $"Tls:MaxHandshakeSize is at least {LeastHandshakeSize} bytes.";
        }
    }
}
