using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Tls;
using ByteStreams.Transport.Text;

namespace ByteStreams;

/// <summary>The TLS options of a client, with certificates from files. Use <see cref="SslClientAuthenticationOptions"/> for loaded certificates.</summary>
/// <example>
/// <code>
/// var tls = new TlsClientOptions { CaPath = "ca.pem", Certificate = new() { Path = "me.pem", KeyPath = "me.key" } };
/// var options = new ByteStreamClientOptions { Tls = tls.CreateAuthenticationOptions() };
/// </code>
/// </example>
public sealed class TlsClientOptions
{
    /// <summary>
    /// The file (PEM) of the authorities that are trusted to issue server certificates; the system's trusted roots by default. It must contain a
    /// root (a self-signed certificate), because a chain that ends in an intermediate is not trusted. A revocation list in it is an error.
    /// </summary>
    public string? CaPath { get; set; }

    /// <summary>The client certificate for servers that request one. None by default.</summary>
    public TlsCertificateOptions? Certificate { get; set; }

    /// <summary>
    /// The name that is requested (SNI) and that the server's certificate must have: a host name or an IP address. The host of the connection by
    /// default. Server certificates are not matched by URI, such as a SPIFFE ID.
    /// </summary>
    public string? ServerName { get; set; }

    /// <summary>The minimum TLS version: 1.2 by default.</summary>
    public TlsVersion MinimumVersion { get; set; } = TlsVersion.Tls12;

    /// <summary>The application protocols to offer (ALPN), in order of preference. None by default.</summary>
    public IList<string> ApplicationProtocols { get; } = [];

    /// <summary>The revocation check of the server's certificate: <c>NoCheck</c> (the default), <c>Online</c> or <c>Offline</c>.</summary>
    public X509RevocationMode Revocation { get; set; } = X509RevocationMode.NoCheck;

    /// <summary>
    /// Whether an upstream that closes without close_notify is a truncation: the client's connection is reset after all received bytes. False, the
    /// default, forwards it as EOF; an attacker on the path can then truncate what the upstream sends. EOF within a record always is a
    /// truncation. Only a relay reads this; other clients use <c>ByteStreamClientOptions.TlsRequireCloseNotify</c>.
    /// </summary>
    public bool RequireCloseNotify { get; set; }

    /// <summary>
    /// The implementation of TLS: <see cref="TlsEngine.Auto"/> by default. Only a relay reads this; other clients use
    /// <see cref="ByteStreamClientOptions.TlsEngine"/>.
    /// </summary>
    public TlsEngine Engine { get; set; }

    /// <summary>Reads the files and creates handshake options, which any number of connections can share.</summary>
    /// <exception cref="ArgumentException">A file is missing or unusable, or <see cref="ServerName"/> is not valid; the message names it.</exception>
    public SslClientAuthenticationOptions CreateAuthenticationOptions()
    {
        ValidationErrors.ThrowIfAny(GetErrors());
        var options = new SslClientAuthenticationOptions
        {
            TargetHost = ServerName,
            EnabledSslProtocols = TlsServerAuthenticator.GetProtocols(MinimumVersion, TlsVersion.Tls13),
            CertificateRevocationCheckMode = Revocation,
        };
        if (ApplicationProtocols.Count > 0)
        {
            options.ApplicationProtocols = [.. ApplicationProtocols.Select(protocol => new SslApplicationProtocol(protocol))];
        }

        if (CaPath is not null)
        {
            X509Certificate2Collection authorities = Load(
                CertificateLocation.ForAuthorities(CaPath), static content => CertificateFile.LoadAuthorities(content.File!));
            options.CertificateChainPolicy = TlsServerAuthenticator.CreateChainPolicy(authorities, Revocation, ExtendedKeyUsages.Server);
        }

        else
        {
            // As without a policy: the system's roots.
            options.CertificateChainPolicy = new X509ChainPolicy { RevocationMode = Revocation, RevocationFlag = X509RevocationFlag.ExcludeRoot };
        }

        if (Certificate is not null)
        {
            options.ClientCertificateContext = Load(
                CertificateLocation.For(Certificate, staple: false), content => ServerCertificate.Load(Certificate, content, staple: false)).Context;
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

    private IEnumerable<string> GetErrors()
    {
        if (ServerName is { Length: > 0 } name && Uri.CheckHostName(name) is not (UriHostNameType.Dns or UriHostNameType.IPv4 or UriHostNameType.IPv6))
        {
            yield return name.Contains("://", StringComparison.Ordinal)
                ? $"Tls:ServerName: '{name}' is a URI; servers' certificates are matched by host name or IP address only. Set a DNS name of the certificate's subjectAltName."
                : $"Tls:ServerName: '{name}' is not a host name or IP address. Write the name only, without scheme, port or wildcard.";
        }

        foreach (string error in Certificate?.GetErrors() ?? [])
        {
            yield return $"Tls:Certificate: {error}";
        }
    }
}
