using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Testing;

/// <summary>A certificate authority of a test's own, and what it signs: valid from five days ago for ten days, on P-256. Nothing is installed anywhere.</summary>
public sealed class TestAuthority
{
    /// <summary>The purpose of a server's certificate (RFC 5280, 4.2.1.12).</summary>
    public const string ForServers = "1.3.6.1.5.5.7.3.1";

    /// <summary>The purpose of a client's certificate.</summary>
    public const string ForClients = "1.3.6.1.5.5.7.3.2";

    private static readonly DateTimeOffset Now = DateTimeOffset.UtcNow;

    /// <summary>Makes the authority's key and its self-signed certificate.</summary>
    /// <param name="name">Its common name.</param>
    public TestAuthority(string name = "Test Authority")
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        Certificate = Request(name, key).CreateSelfSigned(Now.AddDays(-10), Now.AddDays(10));
    }

    private TestAuthority(string name, TestAuthority issuer)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 signed = Request(name, key).Create(issuer.Certificate, Now.AddDays(-9), Now.AddDays(9), RandomNumberGenerator.GetBytes(8));
        Certificate = signed.CopyWithPrivateKey(key);
    }

    /// <summary>The authority's own certificate, with its key.</summary>
    public X509Certificate2 Certificate { get; }

    /// <summary>The same as PEM, without the key: what the other side trusts.</summary>
    public string Pem => Certificate.ExportCertificatePem();

    /// <summary>An intermediate authority, which this one signs.</summary>
    /// <param name="name">Its common name.</param>
    /// <returns>The authority.</returns>
    public TestAuthority IssueAuthority(string name) => new(name, this);

    /// <summary>A revocation list of this authority, which revokes one certificate.</summary>
    /// <param name="revoked">The certificate.</param>
    /// <returns>The list as PEM.</returns>
    public string Revoke(X509Certificate2 revoked)
    {
        var list = new CertificateRevocationListBuilder();
        list.AddEntry(revoked);
        return PemEncoding.WriteString("X509 CRL", list.Build(Certificate, 1, Now.AddDays(5), HashAlgorithmName.SHA256));
    }

    /// <summary>A server's certificate.</summary>
    /// <param name="hosts">Its DNS names; the first is its common name too.</param>
    /// <returns>The certificate with its key.</returns>
    public X509Certificate2 IssueServer(params string[] hosts) => Issue(hosts[0], dns: hosts, purpose: ForServers);

    /// <summary>A client's certificate.</summary>
    /// <param name="commonName">Its common name.</param>
    /// <param name="dns">DNS names, if it has any.</param>
    /// <param name="uris">URI names, such as SPIFFE ids, if it has any.</param>
    /// <returns>The certificate with its key.</returns>
    public X509Certificate2 IssueClient(string commonName, string[]? dns = null, string[]? uris = null) => Issue(commonName, dns, uris, ForClients);

    /// <summary>A client's certificate that expired yesterday.</summary>
    /// <param name="commonName">Its common name.</param>
    /// <returns>The certificate with its key.</returns>
    public X509Certificate2 IssueExpiredClient(string commonName) => Issue(commonName, purpose: ForClients, notAfter: Now.AddDays(-1));

    /// <summary>Any certificate.</summary>
    /// <param name="commonName">Its common name; null for none.</param>
    /// <param name="dns">DNS names.</param>
    /// <param name="uris">URI names.</param>
    /// <param name="purpose"><see cref="ForServers"/>, <see cref="ForClients"/> or another object identifier; null for every purpose.</param>
    /// <param name="notAfter">The end of its validity; in five days by default.</param>
    /// <param name="rawNames">The bytes of the extension subjectAltName as they are, in place of <paramref name="dns"/> and <paramref name="uris"/>: for names that nobody should have.</param>
    /// <param name="statusUrl">Where its status can be asked for (OCSP); null for nowhere.</param>
    /// <param name="notBefore">The beginning of its validity; five days ago by default.</param>
    /// <returns>The certificate with its key.</returns>
    public X509Certificate2 Issue(
        string? commonName, string[]? dns = null, string[]? uris = null, string? purpose = null, DateTimeOffset? notAfter = null, byte[]? rawNames = null,
        string? statusUrl = null, DateTimeOffset? notBefore = null)
    {
        var subject = new X500DistinguishedNameBuilder();
        if (commonName is not null)
        {
            subject.AddCommonName(commonName);
        }

        // The framework copies the key into the certificate; there, it lives as long as that does.
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(subject.Build(), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        if (purpose is not null)
        {
            request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(purpose)], false));
        }

        if (statusUrl is not null)
        {
            request.CertificateExtensions.Add(new X509AuthorityInformationAccessExtension([statusUrl], null));
        }

        var names = new SubjectAlternativeNameBuilder();
        Array.ForEach(dns ?? [], names.AddDnsName);
        Array.ForEach(uris ?? [], uri => names.AddUri(new Uri(uri)));
        if (rawNames is not null)
        {
            request.CertificateExtensions.Add(new X509Extension("2.5.29.17", rawNames, false));
        }
        else if (dns is { Length: > 0 } || uris is { Length: > 0 })
        {
            request.CertificateExtensions.Add(names.Build());
        }

        using X509Certificate2 signed = request.Create(Certificate, notBefore ?? Now.AddDays(-5), notAfter ?? Now.AddDays(5), RandomNumberGenerator.GetBytes(8));
        return signed.CopyWithPrivateKey(key);
    }

    private static CertificateRequest Request(string name, ECDsa key)
    {
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        return request;
    }
}
