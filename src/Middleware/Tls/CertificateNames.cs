using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>Whom a certificate names.</summary>
internal sealed record CertificateNames(string? CommonName, IReadOnlyList<string> DnsNames, IReadOnlyList<string> Uris)
{
    /// <summary>subjectAltName (RFC 5280, 4.2.1.6).</summary>
    private const string AlternativeNames = "2.5.29.17";

    /// <summary>The id of a common name in a subject (X.520).</summary>
    private const string CommonNameId = "2.5.4.3";

    private static readonly Asn1Tag DnsName = new(TagClass.ContextSpecific, 2);
    private static readonly Asn1Tag Uri = new(TagClass.ContextSpecific, 6);

    /// <summary>What it is called in a log.</summary>
    public string? Best => Uris.Count > 0 ? Uris[0] : CommonName ?? (DnsNames.Count > 0 ? DnsNames[0] : null);

    /// <summary>All names, each with its kind, as a log shows them.</summary>
    public override string ToString()
    {
        string[] all =
        [
            .. CommonName is null ? [] : (string[])[$"CN={CommonName}"],
            .. DnsNames.Select(static name => $"DNS={name}"),
            .. Uris.Select(static name => $"URI={name}"),
        ];
        return all.Length > 0 ? string.Join(", ", all) : "nothing";
    }

    /// <exception cref="CryptographicException">The certificate's names are malformed.</exception>
    public static CertificateNames Of(X509Certificate2 certificate)
    {
        string? common = null;
        foreach (X500RelativeDistinguishedName part in certificate.SubjectName.EnumerateRelativeDistinguishedNames())
        {
            if (!part.HasMultipleElements && part.GetSingleElementType().Value == CommonNameId)
            {
                common ??= part.GetSingleElementValue();
            }
        }

        List<string> dns = [];
        List<string> uris = [];
        foreach (X509Extension extension in certificate.Extensions.Where(extension => extension.Oid?.Value == AlternativeNames))
        {
            Read(extension.RawData, dns, uris);
        }

        return new CertificateNames(common, dns, uris);
    }

    /// <summary>The framework lists host names and addresses of this extension, and no URIs.</summary>
    private static void Read(byte[] extension, List<string> dns, List<string> uris)
    {
        try
        {
            AsnReader names = new AsnReader(extension, AsnEncodingRules.DER).ReadSequence();
            while (names.HasData)
            {
                Asn1Tag tag = names.PeekTag();
                if (tag == DnsName)
                {
                    dns.Add(names.ReadCharacterString(UniversalTagNumber.IA5String, DnsName));
                }
                else if (tag == Uri)
                {
                    uris.Add(names.ReadCharacterString(UniversalTagNumber.IA5String, Uri));
                }
                else
                {
                    names.ReadEncodedValue();
                }
            }
        }
        catch (AsnContentException malformed)
        {
            throw new CryptographicException("The certificate's alternative names are malformed.", malformed);
        }
    }
}
