using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Transport.Text;

namespace ByteStreams.Tls;

/// <summary>Validates certificates and authorities without starting an endpoint. Each error begins with its key.</summary>
internal static class CertificateCheck
{
    /// <summary>Returns the errors with which an endpoint does not start.</summary>
    public static IReadOnlyList<string> GetErrors(TlsServerOptions options)
    {
        var errors = new List<string>(options.GetErrors());
        for (int i = 0; i < options.Certificates.Count; i++)
        {
            TlsCertificateOptions certificate = options.Certificates[i];
            if (!certificate.GetErrors().Any())
            {
                Note($"Certificates:{i}", CertificateLocation.For(certificate, staple: false), "a certificate and its key", () => Load(certificate).Leaf.Dispose());
            }
        }

        if (options.ClientCaPath is not null)
        {
            Note(nameof(TlsServerOptions.ClientCaPath), CertificateLocation.ForAuthorities(options.ClientCaPath), "certificates in PEM", () => LoadAuthorities(options.ClientCaPath));
        }

        return errors;

        void Note(string key, CertificateLocation location, string needed, Action load)
        {
            try
            {
                load();
            }
            catch (CertificateFileException error)
            {
                errors.Add($"Tls:{key}: {location.Name} cannot be used: {error.Message}");
            }
            catch (Exception error) when (CertificateSource.IsUnusable(error))
            {
                errors.Add($"Tls:{key}: {location.Name} cannot be used: {ValidationErrors.GetMessage(error)} Set the path of {needed} that the process can read.");
            }
        }
    }

    /// <summary>Returns the validity of the certificates in their order. They must be usable (<see cref="GetErrors"/>).</summary>
    public static IReadOnlyList<CertificateValidity> GetValidity(TlsServerOptions options) =>
    [
        .. options.Certificates.Select(certificate =>
        {
            ServerCertificate loaded = Load(certificate);
            using X509Certificate2 leaf = loaded.Leaf;
            return new CertificateValidity(loaded.Subject, leaf);
        }),
    ];

    /// <summary>Returns the errors with which an endpoint starts and no client can connect.</summary>
    public static IEnumerable<string> GetRejections(TlsServerOptions options, DateTimeOffset now)
    {
        IReadOnlyList<CertificateValidity> certificates = GetValidity(options);
        for (int i = 0; i < certificates.Count; i++)
        {
            if (DescribeInvalidity($"Tls:Certificates:{i}", certificates[i], "clients", now) is string invalid)
            {
                yield return invalid;
            }
        }

        if (options.ClientCaPath is string path && DescribeMissingRoot($"Tls:{nameof(options.ClientCaPath)}", path, "every client is rejected") is string missing)
        {
            yield return missing;
        }
    }

    /// <summary>Returns the errors with which a relay starts and no upstream accepts it, or is trusted.</summary>
    public static IEnumerable<string> GetRejections(TlsClientOptions options, DateTimeOffset now)
    {
        if (options.Certificate is not null)
        {
            ServerCertificate loaded = Load(options.Certificate);
            using X509Certificate2 leaf = loaded.Leaf;
            if (DescribeInvalidity("Tls:Certificate", new CertificateValidity(loaded.Subject, leaf), "upstreams", now) is string invalid)
            {
                yield return invalid;
            }
        }

        if (options.CaPath is string path && DescribeMissingRoot($"Tls:{nameof(options.CaPath)}", path, "every upstream is rejected") is string missing)
        {
            yield return missing;
        }
    }

    /// <summary>Returns warnings: conditions that may reject clients now or later, or accept unintended ones.</summary>
    public static IEnumerable<string> GetWarnings(TlsServerOptions options, DateTimeOffset now)
    {
        X509Certificate2Collection authorities = options.ClientCaPath is null ? [] : LoadAuthorities(options.ClientCaPath);
        for (int i = 0; i < options.Certificates.Count; i++)
        {
            ServerCertificate certificate = Load(options.Certificates[i]);
            using X509Certificate2 leaf = certificate.Leaf;
            var validity = new CertificateValidity(certificate.Subject, leaf);
            if (validity.GetState(now) == ValidityState.Expiring)
            {
                yield return string.Create(
                    CultureInfo.InvariantCulture, $"Tls:Certificates:{i}: the certificate '{LogText.Escape(validity.Subject)}' expires at {validity.NotAfter:u}. Replace it before that time.");
            }

            if (FindMissingIssuer(certificate, authorities) is string issuer)
            {
                yield return $"Tls:Certificates:{i}: the issuer '{LogText.Escape(issuer)}' is neither in the file nor a root that this system trusts. Clients that do not "
                    + "trust this issuer themselves reject the certificate. Append the intermediate certificates to the file.";
            }
        }

        foreach (X509Certificate2 authority in authorities)
        {
            var validity = new CertificateValidity(authority.Subject, authority);
            if (validity.GetState(now) is ValidityState.Expired or ValidityState.NotYetValid)
            {
                yield return string.Create(
                    CultureInfo.InvariantCulture,
                    $"Tls:{nameof(options.ClientCaPath)}: the authority '{LogText.Escape(validity.Subject)}' is valid from {validity.NotBefore:u} to {validity.NotAfter:u}; clients with its certificates are rejected now. Replace or remove it.");
            }
        }

        if (options.AllowedCommonNames.Count > 0)
        {
            yield return $"Tls:{nameof(options.AllowedCommonNames)}: name constraints of an authority do not apply to common names. Use {nameof(options.AllowedDnsNames)} or {nameof(options.AllowedUris)} if an authority of {nameof(options.ClientCaPath)} has name constraints.";
        }
    }

    private static string? DescribeInvalidity(string key, CertificateValidity validity, string peers, DateTimeOffset now) =>
        validity.GetState(now) is ValidityState.Expired or ValidityState.NotYetValid
            ? string.Create(
                CultureInfo.InvariantCulture,
                $"{key}: the certificate '{LogText.Escape(validity.Subject)}' is valid from {validity.NotBefore:u} to {validity.NotAfter:u}; {peers} reject it now. Replace it.")
            : null;

    /// <summary>.NET trusts only a chain that ends in a self-signed certificate. Intermediates in the list only help to build the chain.</summary>
    private static string? DescribeMissingRoot(string key, string path, string effect) =>
        LoadAuthorities(path).Any(IsRoot)
            ? null
            : $"{key}: {path} contains intermediate authorities and no root (a self-signed certificate): {effect}. Add the root.";

    private static bool IsRoot(X509Certificate2 certificate) =>
        certificate.SubjectName.RawData.AsSpan().SequenceEqual(certificate.IssuerName.RawData);

    /// <summary>Returns the issuer that is missing in the chain of a certificate; null if the chain is complete.</summary>
    private static string? FindMissingIssuer(ServerCertificate certificate, X509Certificate2Collection authorities)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.ExtraStore.AddRange(certificate.Others);
        chain.ChainPolicy.ExtraStore.AddRange(authorities.Where(IsRoot).ToArray());
        chain.Build(certificate.Leaf);
        return chain.ChainStatus.Any(status => status.Status == X509ChainStatusFlags.PartialChain) ? chain.ChainElements[^1].Certificate.Issuer : null;
    }

    private static ServerCertificate Load(TlsCertificateOptions options) =>
        ServerCertificate.Load(options, CertificateLocation.For(options, staple: false).Read(), staple: false);

    private static X509Certificate2Collection LoadAuthorities(string path) =>
        CertificateFile.LoadAuthorities(CertificateLocation.ForAuthorities(path).Read().File!);
}
