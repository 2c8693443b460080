using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary><see cref="TlsServerOptions"/> at work: the options of each handshake, and the judgement on each client's certificate.</summary>
internal sealed class ConfiguredTls
{
    /// <summary>The purpose that a client's certificate must have (RFC 5280, 4.2.1.12), if it names any.</summary>
    private static readonly Oid ClientAuthentication = new("1.3.6.1.5.5.7.3.2");

    private readonly TlsServerOptions _options;
    private readonly CertificateStore _store;
    private readonly SslProtocols _protocols;
    private readonly List<SslApplicationProtocol>? _applicationProtocols;
    private readonly HashSet<string> _commonNames;
    private readonly HashSet<string> _dnsNames;

    /// <param name="options">The options.</param>
    /// <param name="store">The certificates.</param>
    /// <param name="defaultProtocols">What is offered by ALPN where the options name nothing.</param>
    public ConfiguredTls(TlsServerOptions options, CertificateStore store, IReadOnlyList<string> defaultProtocols)
    {
        IList<string> protocols = options.ApplicationProtocols.Count > 0 ? options.ApplicationProtocols : [.. defaultProtocols];
        _options = options;
        _store = store;
        _protocols = Protocols(options.MinimumVersion, options.MaximumVersion);
        _applicationProtocols = protocols.Count > 0
            ? [.. protocols.Select(protocol => new SslApplicationProtocol(protocol))]
            : null;
        _commonNames = new(options.AllowedCommonNames, StringComparer.Ordinal);
        _dnsNames = new(options.AllowedDnsNames, StringComparer.OrdinalIgnoreCase);
    }

    public static SslProtocols Protocols(TlsVersion minimum, TlsVersion maximum) =>
        (minimum <= TlsVersion.Tls12 ? SslProtocols.Tls12 : SslProtocols.None) | (maximum >= TlsVersion.Tls13 ? SslProtocols.Tls13 : SslProtocols.None);

    /// <summary>What SslStream asks when it knows the name that the client wants.</summary>
    public ServerOptionsSelectionCallback Options(TlsAttempt attempt)
    {
        attempt.AwaitHello();
        return (_, hello, _, _) =>
        {
            attempt.OnHello(hello);
            return new(Build(hello.ServerName, attempt));
        };
    }

    /// <summary>A chain policy that trusts these authorities and nobody else.</summary>
    public static X509ChainPolicy Trusting(X509Certificate2Collection authorities, X509RevocationMode revocation, Oid purpose)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = revocation,
            // Nothing is fetched from where a stranger's certificate says.
            DisableCertificateDownloads = revocation == X509RevocationMode.NoCheck,
        };
        policy.CustomTrustStore.AddRange(authorities);
        policy.ApplicationPolicy.Add(purpose);
        return policy;
    }

    private SslServerAuthenticationOptions Build(string? serverName, TlsAttempt attempt)
    {
        var options = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = _store.Select(serverName)?.Context,
            EnabledSslProtocols = _protocols,
            ApplicationProtocols = _applicationProtocols,
            ClientCertificateRequired = _options.ClientCertificates != ClientCertificates.None,
        };
        if (_options.ClientCertificates != ClientCertificates.None)
        {
            options.CertificateChainPolicy = Trusting(_store.Authorities!, _options.ClientRevocation, ClientAuthentication);
            options.RemoteCertificateValidationCallback = (_, certificate, chain, errors) => Judge(attempt, certificate, chain, errors);
        }

        _options.Configure?.Invoke(options);
        return options;
    }

    private bool Judge(TlsAttempt attempt, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors)
    {
        if (certificate is not X509Certificate2 client)
        {
            return _options.ClientCertificates == ClientCertificates.Allow || attempt.Refuse(certificate, chain);
        }

        if ((errors & SslPolicyErrors.RemoteCertificateChainErrors) != 0)
        {
            return attempt.Refuse(certificate, chain);
        }

        if (_commonNames.Count + _dnsNames.Count + _options.AllowedUris.Count == 0)
        {
            return true;
        }

        try
        {
            var names = CertificateNames.Of(client);
            return IsAllowed(names) || attempt.Refuse(ConnectionEndReason.TlsNameNotAllowed, $"the client's certificate names {names}, which is not allowed");
        }
        catch (CryptographicException malformed)
        {
            // Names that cannot be read match no rule.
            return attempt.Refuse(ConnectionEndReason.TlsNameNotAllowed, malformed.Message);
        }
    }

    private bool IsAllowed(CertificateNames names) =>
        (names.CommonName is string common && _commonNames.Contains(common))
            || names.DnsNames.Any(_dnsNames.Contains)
            || names.Uris.Any(uri => _options.AllowedUris.Any(allowed => allowed.EndsWith('*')
                ? uri.StartsWith(allowed[..^1], StringComparison.Ordinal)
                : uri == allowed));
}
