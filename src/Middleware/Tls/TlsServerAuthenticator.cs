using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>Creates the options of each handshake from <see cref="TlsServerOptions"/>, and validates client certificates.</summary>
internal sealed class TlsServerAuthenticator
{
    private readonly TlsServerOptions _options;
    private readonly CertificateStore _store;
    private readonly SslProtocols _protocols;
    private readonly List<SslApplicationProtocol>? _applicationProtocols;
    private readonly HashSet<string> _commonNames;
    private readonly HashSet<string> _dnsNames;
    private volatile Scope? _scope;

    /// <param name="options">The options.</param>
    /// <param name="store">The certificates.</param>
    /// <param name="defaultProtocols">The application protocols (ALPN) if the options have none.</param>
    public TlsServerAuthenticator(TlsServerOptions options, CertificateStore store, IReadOnlyList<string> defaultProtocols)
    {
        IList<string> protocols = options.ApplicationProtocols.Count > 0 ? options.ApplicationProtocols : [.. defaultProtocols];
        _options = options;
        _store = store;
        _protocols = GetProtocols(options.MinimumVersion, options.MaximumVersion);
        _applicationProtocols = protocols.Count > 0
            ? [.. protocols.Select(protocol => new SslApplicationProtocol(protocol))]
            : null;
        _commonNames = new(options.AllowedCommonNames, StringComparer.Ordinal);
        _dnsNames = new(options.AllowedDnsNames, StringComparer.OrdinalIgnoreCase);
    }

    public static SslProtocols GetProtocols(TlsVersion minimum, TlsVersion maximum) =>
        (minimum <= TlsVersion.Tls12 ? SslProtocols.Tls12 : SslProtocols.None) | (maximum >= TlsVersion.Tls13 ? SslProtocols.Tls13 : SslProtocols.None);

    /// <summary>Returns the selection of the options after the ClientHello.</summary>
    public TlsServerSelection GetOptions(TlsHandshakeContext handshake)
    {
        handshake.ResumptionScope = GetScope();
        handshake.Unsupported = FindUnsupported();
        handshake.RequiresCertificate = _options.ClientCertificates == ClientCertificates.Require;
        return serverName => CreateOptions(serverName, handshake);
    }

    /// <summary>Creates a chain policy that trusts only the given authorities.</summary>
    public static X509ChainPolicy CreateChainPolicy(X509Certificate2Collection authorities, X509RevocationMode revocation, Oid purpose)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = revocation,
            // No downloads from URLs in a certificate that is not validated yet.
            DisableCertificateDownloads = revocation == X509RevocationMode.NoCheck,
        };
        policy.CustomTrustStore.AddRange(authorities);
        policy.ApplicationPolicy.Add(purpose);
        return policy;
    }

    /// <summary>
    /// Returns why OpenSSL cannot perform the handshakes; null if it can. Whether <c>Configure</c> asks for what OpenSSL lacks is known within a
    /// handshake only, so that <c>Auto</c> does not choose it then.
    /// </summary>
    public string? FindUnsupported() =>
        _options.FindUnsupported() ?? (_options.Engine == TlsEngine.Auto && _options.Configure is not null ? "Configure is set" : null);

    /// <summary>
    /// Returns the identity of the rules for clients, which changes with the authorities. Null if a client's certificate may be judged otherwise
    /// the next time: by its revocation, or by a callback of <c>Configure</c>.
    /// </summary>
    private byte[]? GetScope()
    {
        if (_options.Configure is not null || (_options.ClientCertificates != ClientCertificates.None && _options.ClientRevocation != X509RevocationMode.NoCheck))
        {
            return null;
        }

        Scope? current = _scope;
        if (current is null || !ReferenceEquals(current.Authorities, _store.Authorities))
        {
            _scope = current = new Scope(_store.Authorities, RandomNumberGenerator.GetBytes(TlsHandshakeContext.ScopeLength));
        }

        return current.Id;
    }

    private SslServerAuthenticationOptions CreateOptions(string? serverName, TlsHandshakeContext handshake)
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
            options.CertificateChainPolicy = CreateChainPolicy(_store.Authorities!, _options.ClientRevocation, ExtendedKeyUsages.Client);
            options.RemoteCertificateValidationCallback = (_, certificate, chain, errors) => Validate(handshake, certificate, chain, errors);
        }

        _options.Configure?.Invoke(options);
        return options;
    }

    private bool Validate(TlsHandshakeContext handshake, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors)
    {
        if (certificate is not X509Certificate2 client)
        {
            return _options.ClientCertificates == ClientCertificates.Allow || handshake.Reject(certificate, chain);
        }

        if ((errors & SslPolicyErrors.RemoteCertificateChainErrors) != 0)
        {
            return handshake.Reject(certificate, chain);
        }

        if (_commonNames.Count + _dnsNames.Count + _options.AllowedUris.Count == 0)
        {
            return true;
        }

        try
        {
            var names = CertificateNames.From(client);
            return IsAllowed(names) || handshake.Reject(ConnectionCloseReason.TlsNameNotAllowed, $"no name of the client's certificate is allowed ({names})");
        }
        catch (CryptographicException malformed)
        {
            // Malformed names match no rule.
            return handshake.Reject(ConnectionCloseReason.TlsNameNotAllowed, malformed.Message);
        }
    }

    private bool IsAllowed(CertificateNames names) =>
        (names.CommonName is string common && _commonNames.Contains(common))
            || names.DnsNames.Any(_dnsNames.Contains)
            || names.Uris.Any(uri => _options.AllowedUris.Any(allowed => allowed.EndsWith('*')
                ? uri.StartsWith(allowed[..^1], StringComparison.Ordinal)
                : uri == allowed));

    /// <summary>The identity of the rules with these authorities.</summary>
    private sealed record Scope(X509Certificate2Collection? Authorities, byte[] Id);
}
