using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Transport.Text;

namespace ByteStreams.Tls;

/// <summary>Checks certificates and authorities without serving them. Each line begins with its key.</summary>
internal static class CertificateCheck
{
    /// <summary>Lists what keeps an endpoint from starting.</summary>
    public static IReadOnlyList<string> Mistakes(TlsServerOptions options)
    {
        var mistakes = new List<string>(options.Mistakes());
        for (int i = 0; i < options.Certificates.Count; i++)
        {
            TlsCertificateOptions certificate = options.Certificates[i];
            if (!certificate.Mistakes().Any())
            {
                Note($"Certificates:{i}", CertificateLocation.Of(certificate, staple: false), "a certificate and its key", () => Load(certificate).Leaf.Dispose());
            }
        }

        if (options.ClientCaPath is not null)
        {
            Note(nameof(TlsServerOptions.ClientCaPath), CertificateLocation.OfAuthorities(options.ClientCaPath), "certificates in PEM", () => LoadAuthorities(options.ClientCaPath));
        }

        return mistakes;

        void Note(string key, CertificateLocation location, string needed, Action load)
        {
            try
            {
                load();
            }
            catch (CertificateFileException error)
            {
                mistakes.Add($"Tls:{key}: {location.Name} cannot be used: {error.Message}");
            }
            catch (Exception error) when (CertificateSource.IsUnusable(error))
            {
                mistakes.Add($"Tls:{key}: {location.Name} cannot be used: {Mistake.Text(error)} Name {needed}, that the program may read.");
            }
        }
    }

    /// <summary>Names and times of certificates that can be used (<see cref="Mistakes"/>), in their order.</summary>
    public static IReadOnlyList<CertificateValidity> Validity(TlsServerOptions options) =>
    [
        .. options.Certificates.Select(certificate =>
        {
            ServerCertificate loaded = Load(certificate);
            using X509Certificate2 leaf = loaded.Leaf;
            return new CertificateValidity(loaded.Subject, leaf);
        }),
    ];

    /// <summary>Lists what an endpoint starts with, and what keeps all of its clients out.</summary>
    public static IEnumerable<string> Unfit(TlsServerOptions options, DateTimeOffset now)
    {
        IReadOnlyList<CertificateValidity> certificates = Validity(options);
        for (int i = 0; i < certificates.Count; i++)
        {
            if (Unfit($"Tls:Certificates:{i}", certificates[i], "clients", now) is string unfit)
            {
                yield return unfit;
            }
        }

        if (options.ClientCaPath is string path && RootMissing($"Tls:{nameof(options.ClientCaPath)}", path, "every client is refused") is string missing)
        {
            yield return missing;
        }
    }

    /// <summary>The same of a relay's TLS towards its upstreams.</summary>
    public static IEnumerable<string> Unfit(TlsClientOptions options, DateTimeOffset now)
    {
        if (options.Certificate is not null)
        {
            ServerCertificate loaded = Load(options.Certificate);
            using X509Certificate2 leaf = loaded.Leaf;
            if (Unfit("Tls:Certificate", new CertificateValidity(loaded.Subject, leaf), "upstreams", now) is string unfit)
            {
                yield return unfit;
            }
        }

        if (options.CaPath is string path && RootMissing($"Tls:{nameof(options.CaPath)}", path, "every upstream is refused") is string missing)
        {
            yield return missing;
        }
    }

    /// <summary>Lists what may keep clients out, now or later, or let in others than were meant.</summary>
    public static IEnumerable<string> Warnings(TlsServerOptions options, DateTimeOffset now)
    {
        X509Certificate2Collection authorities = options.ClientCaPath is null ? [] : LoadAuthorities(options.ClientCaPath);
        for (int i = 0; i < options.Certificates.Count; i++)
        {
            ServerCertificate certificate = Load(options.Certificates[i]);
            using X509Certificate2 leaf = certificate.Leaf;
            var validity = new CertificateValidity(certificate.Subject, leaf);
            if (validity.At(now) == ValidityState.Expiring)
            {
                yield return string.Create(
                    CultureInfo.InvariantCulture, $"Tls:Certificates:{i}: the certificate '{LogText.Escape(validity.Subject)}' expires at {validity.NotAfter:u}. Replace it before.");
            }

            if (MissingIssuer(certificate, authorities) is string issuer)
            {
                yield return $"Tls:Certificates:{i}: the issuer '{LogText.Escape(issuer)}' is neither in the file nor a root that this system trusts. Unless it is a root that the "
                    + "clients trust, they cannot build the chain: append the intermediate certificates to the file.";
            }
        }

        foreach (X509Certificate2 authority in authorities)
        {
            var validity = new CertificateValidity(authority.Subject, authority);
            if (validity.At(now) is ValidityState.Expired or ValidityState.NotYetValid)
            {
                yield return string.Create(
                    CultureInfo.InvariantCulture,
                    $"Tls:{nameof(options.ClientCaPath)}: the authority '{LogText.Escape(validity.Subject)}' is valid from {validity.NotBefore:u} to {validity.NotAfter:u}, and clients with its certificates are refused now. Replace it, or remove it.");
            }
        }

        if (options.AllowedCommonNames.Count > 0)
        {
            yield return $"Tls:{nameof(options.AllowedCommonNames)}: an authority's name constraints do not bind common names. {nameof(options.AllowedDnsNames)} and {nameof(options.AllowedUris)} are safe where an authority of {nameof(options.ClientCaPath)} is limited by them.";
        }
    }

    private static string? Unfit(string key, CertificateValidity validity, string others, DateTimeOffset now) =>
        validity.At(now) is ValidityState.Expired or ValidityState.NotYetValid
            ? string.Create(
                CultureInfo.InvariantCulture,
                $"{key}: the certificate '{LogText.Escape(validity.Subject)}' is valid from {validity.NotBefore:u} to {validity.NotAfter:u}, and {others} refuse it now. Replace it.")
            : null;

    /// <summary>.NET trusts a chain that ends in a self-signed certificate, and no other: an intermediate in the list only helps to build it.</summary>
    private static string? RootMissing(string key, string path, string effect) =>
        LoadAuthorities(path).Any(IsRoot)
            ? null
            : $"{key}: {path} has intermediate authorities and no root (a self-signed certificate), and {effect}. Add the root.";

    private static bool IsRoot(X509Certificate2 certificate) =>
        certificate.SubjectName.RawData.AsSpan().SequenceEqual(certificate.IssuerName.RawData);

    /// <summary>The name of the authority at which the chain of a certificate breaks off; null if it is complete.</summary>
    private static string? MissingIssuer(ServerCertificate certificate, X509Certificate2Collection authorities)
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
        ServerCertificate.Load(options, CertificateLocation.Of(options, staple: false).Read(), staple: false);

    private static X509Certificate2Collection LoadAuthorities(string path) =>
        CertificateFile.LoadAuthorities(CertificateLocation.OfAuthorities(path).Read().File!);
}
