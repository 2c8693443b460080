using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Configuration;
using ByteStreams.Tls;

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

    /// <summary>The file (PEM) of the authorities that servers' certificates must come from; the system's own list by default.</summary>
    public string? CaPath { get; set; }

    /// <summary>The certificate that is shown to servers that ask for one. None by default.</summary>
    public TlsCertificateOptions? Certificate { get; set; }

    /// <summary>The name that the server's certificate must have and that it is asked for (SNI); the host that is connected to by default.</summary>
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
    /// <exception cref="ArgumentException">A file is missing or is no certificate; the message names it.</exception>
    public SslClientAuthenticationOptions CreateAuthenticationOptions()
    {
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
            X509Certificate2Collection authorities = [];
            Use(CaPath, () => authorities.ImportFromPemFile(CaPath));
            if (authorities.Count == 0)
            {
                throw new ArgumentException($"Tls: {CaPath} has no certificate in PEM.");
            }

            options.CertificateChainPolicy = ConfiguredTls.Trusting(authorities, Revocation, ServerAuthentication);
        }

        if (Certificate is not null)
        {
            Mistake.ThrowIfAny(Certificate.Mistakes().Select(mistake => $"Tls:Certificate: {mistake}"));
            Use(Certificate.Path ?? Certificate.Store!, () => options.ClientCertificateContext = ServerCertificate.Load(
                Certificate,
                Certificate.Path is null ? null : File.ReadAllBytes(Certificate.Path),
                Certificate.KeyPath is null ? null : File.ReadAllBytes(Certificate.KeyPath),
                staple: false).Context);
        }

        return options;
    }

    private static void Use(string file, Action load)
    {
        try
        {
            load();
        }
        catch (Exception error) when (error is CryptographicException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new ArgumentException($"Tls: {file} cannot be used: {error.Message}", error);
        }
    }
}
