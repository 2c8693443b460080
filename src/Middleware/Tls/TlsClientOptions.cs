using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Tls;
using ByteStreams.Transport.Text;

namespace ByteStreams;

/// <summary>TLS towards a server, from files. For code that has certificates at hand there is <see cref="SslClientAuthenticationOptions"/>.</summary>
/// <example>
/// <code>
/// var tls = new TlsClientOptions { CaPath = "ca.pem", Certificate = new() { Path = "me.pem", KeyPath = "me.key" } };
/// var options = new ByteStreamClientOptions { Tls = tls.CreateAuthenticationOptions() };
/// </code>
/// </example>
public sealed class TlsClientOptions
{
    private static readonly Oid ServerAuthentication = new("1.3.6.1.5.5.7.3.1");

    /// <summary>
    /// The file (PEM) of the authorities that servers' certificates must come from; the system's own list by default. It has at least one
    /// root (a self-signed certificate): a chain that ends in an intermediate is not trusted. A revocation list in it is an error.
    /// </summary>
    public string? CaPath { get; set; }

    /// <summary>The certificate that is shown to servers that ask for one. None by default.</summary>
    public TlsCertificateOptions? Certificate { get; set; }

    /// <summary>
    /// The name that the server's certificate must have and that it is asked for (SNI): a host name or an IP address. The host that is
    /// connected to by default. Servers' certificates are not matched by URI, such as a SPIFFE ID.
    /// </summary>
    public string? ServerName { get; set; }

    /// <summary>The oldest version: 1.2 by default.</summary>
    public TlsVersion MinimumVersion { get; set; } = TlsVersion.Tls12;

    /// <summary>The application protocols to offer (ALPN), best first. None by default.</summary>
    public IList<string> ApplicationProtocols { get; } = [];

    /// <summary>Whether the server's certificate is looked up as revoked: <c>NoCheck</c> by default, <c>Online</c>, <c>Offline</c>.</summary>
    public X509RevocationMode Revocation { get; set; } = X509RevocationMode.NoCheck;

    /// <summary>
    /// Whether an end of the upstream without close_notify is a truncation: the client then gets a reset, after everything that came before.
    /// False, the default, takes it for the end, which is passed on: an attacker on the path can then cut what the upstream sends, unnoticed.
    /// A record that is cut in the middle is a truncation in any case. Read by a relay; a client of its own has
    /// <see cref="ByteStreamClientOptions.TlsRequireCloseNotify"/>.
    /// </summary>
    public bool RequireCloseNotify { get; set; }

    /// <summary>Reads the files, and makes the options of a handshake. May be used for any number of connections.</summary>
    /// <exception cref="ArgumentException">A file is missing or is no certificate, or <see cref="ServerName"/> is not valid; the message names it.</exception>
    public SslClientAuthenticationOptions CreateAuthenticationOptions()
    {
        Mistake.ThrowIfAny(Mistakes());
        var options = new SslClientAuthenticationOptions
        {
            TargetHost = ServerName,
            EnabledSslProtocols = ConfiguredTls.Protocols(MinimumVersion, TlsVersion.Tls13),
            CertificateRevocationCheckMode = Revocation,
        };
        if (ApplicationProtocols.Count > 0)
        {
            options.ApplicationProtocols = [.. ApplicationProtocols.Select(protocol => new SslApplicationProtocol(protocol))];
        }

        if (CaPath is not null)
        {
            X509Certificate2Collection authorities = Load(
                CertificateLocation.OfAuthorities(CaPath), static content => CertificateFile.LoadAuthorities(content.File!));
            options.CertificateChainPolicy = ConfiguredTls.Trusting(authorities, Revocation, ServerAuthentication);
        }

        if (Certificate is not null)
        {
            options.ClientCertificateContext = Load(
                CertificateLocation.Of(Certificate, staple: false), content => ServerCertificate.Load(Certificate, content, staple: false)).Context;
        }

        return options;
    }

    private static TLoaded Load<TLoaded>(CertificateLocation location, Func<FileContents, TLoaded> load)
        where TLoaded : class
    {
        var source = new CertificateSource<TLoaded>(location, load);
        source.LoadNow(location.TryRead());
        return source.Current;
    }

    private IEnumerable<string> Mistakes()
    {
        if (ServerName is { Length: > 0 } name && Uri.CheckHostName(name) is not (UriHostNameType.Dns or UriHostNameType.IPv4 or UriHostNameType.IPv6))
        {
            yield return name.Contains("://", StringComparison.Ordinal)
                ? $"Tls:ServerName: '{name}' is a URI, and servers' certificates are matched by host name or IP address only. Name the host that the certificate has (a DNS name of its subjectAltName)."
                : $"Tls:ServerName: '{name}' is no host name or IP address. Write the name alone, without scheme, port or wildcard.";
        }

        foreach (string mistake in Certificate?.Mistakes() ?? [])
        {
            yield return $"Tls:Certificate: {mistake}";
        }
    }
}
