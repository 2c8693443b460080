using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Tls;

/// <summary>
/// Logs warnings about an endpoint's certificates and authorities that are not valid, or expire soon (F78). Called by one thread at a time.
/// </summary>
/// <param name="endpoint">The endpoint's name.</param>
/// <param name="certificates">The sources of the certificates.</param>
/// <param name="authorities">The source of the client authorities; null for none.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">The logger.</param>
internal sealed class CertificateWarnings(
    string endpoint, IReadOnlyList<CertificateSource<ServerCertificate>> certificates, CertificateSource<X509Certificate2Collection>? authorities,
    TimeProvider time, ILogger logger)
{
    // Per source, because a certificate is shared between endpoints, and each endpoint logs its own warnings.
    private readonly (ServerCertificate? Certificate, CertificateValidity? Validity)[] _certificates = new (ServerCertificate?, CertificateValidity?)[certificates.Count];
    private (X509Certificate2Collection? Loaded, CertificateValidity[] All) _authorities = (null, []);

    public void Check()
    {
        for (int i = 0; i < certificates.Count; i++)
        {
            Warn(certificates[i].Name, GetValidity(i));
        }

        if (authorities is not null)
        {
            CheckAuthorities(authorities);
        }
    }

    private CertificateValidity GetValidity(int index)
    {
        ServerCertificate current = certificates[index].Current;
        if (current != _certificates[index].Certificate)
        {
            _certificates[index] = (current, new CertificateValidity(current.Subject, current.Leaf));
        }

        return _certificates[index].Validity!;
    }

    private void Warn(string file, CertificateValidity validity)
    {
        string subject = LogText.Escape(validity.Subject);
        switch (validity.GetDueWarning(time))
        {
            case ValidityState.NotYetValid:
                TlsLog.CertificateNotYetValid(logger, endpoint, subject, file, validity.NotBefore.UtcDateTime);
                break;
            case ValidityState.Expiring:
                TlsLog.CertificateExpiring(logger, endpoint, subject, file, validity.NotAfter.UtcDateTime);
                break;
            case ValidityState.Expired:
                TlsLog.CertificateExpired(logger, endpoint, subject, file, validity.NotAfter.UtcDateTime);
                break;
        }
    }

    private void CheckAuthorities(CertificateSource<X509Certificate2Collection> source)
    {
        X509Certificate2Collection current = source.Current;
        if (current != _authorities.Loaded)
        {
            _authorities = (current, [.. current.Select(static authority => new CertificateValidity(authority.Subject, authority))]);
        }

        foreach (CertificateValidity validity in _authorities.All)
        {
            if (validity.GetDueWarning(time) != ValidityState.Valid)
            {
                TlsLog.AuthorityNotValid(
                    logger, endpoint, LogText.Escape(validity.Subject), source.Name, validity.NotBefore.UtcDateTime, validity.NotAfter.UtcDateTime);
            }
        }
    }
}
