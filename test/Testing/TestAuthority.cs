using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Testing;

/// <summary>An authority of a test's own, and what it signs.</summary>
internal sealed class TestAuthority
{
    /// <summary>Purposes of a certificate (RFC 5280, 4.2.1.12).</summary>
    public const string ForServers = "1.3.6.1.5.5.7.3.1";

    public const string ForClients = "1.3.6.1.5.5.7.3.2";

    private static readonly DateTimeOffset Now = DateTimeOffset.UtcNow;

    public TestAuthority(string name = "Test Authority")
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        Certificate = request.CreateSelfSigned(Now.AddDays(-10), Now.AddDays(10));
    }

    public X509Certificate2 Certificate { get; }

    public string Pem => Certificate.ExportCertificatePem();

    /// <summary>A certificate for localhost and whatever else is asked for.</summary>
    public X509Certificate2 IssueServer(params string[] hosts) => Issue(hosts[0], dns: hosts, purpose: ForServers);

    public X509Certificate2 IssueClient(string commonName, string[]? dns = null, string[]? uris = null) => Issue(commonName, dns, uris, ForClients);

    public X509Certificate2 IssueExpiredClient(string commonName) => Issue(commonName, purpose: ForClients, notAfter: Now.AddDays(-1));

    public X509Certificate2 Issue(
        string? commonName, string[]? dns = null, string[]? uris = null, string? purpose = null, DateTimeOffset? notAfter = null, byte[]? rawNames = null,
        string? statusUrl = null)
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

        using X509Certificate2 signed = request.Create(Certificate, Now.AddDays(-5), notAfter ?? Now.AddDays(5), RandomNumberGenerator.GetBytes(8));
        return signed.CopyWithPrivateKey(key);
    }
}
