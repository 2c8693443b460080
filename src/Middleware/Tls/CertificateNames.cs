using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Tls;

/// <summary>The names of a certificate.</summary>
internal sealed record CertificateNames(string? CommonName, IReadOnlyList<string> DnsNames, IReadOnlyList<string> Uris)
{
    /// <summary>subjectAltName (RFC 5280, 4.2.1.6).</summary>
    private const string AlternativeNames = "2.5.29.17";

    /// <summary>The object identifier of a common name (X.520).</summary>
    private const string CommonNameId = "2.5.4.3";

    private static readonly Asn1Tag DnsName = new(TagClass.ContextSpecific, 2);
    private static readonly Asn1Tag Uri = new(TagClass.ContextSpecific, 6);

    /// <summary>The name for logs: the first URI, else the common name, else the first host name.</summary>
    public string? DisplayName => Uris.Count > 0 ? Uris[0] : CommonName ?? (DnsNames.Count > 0 ? DnsNames[0] : null);

    /// <summary>Returns all names, each with its type, for logs.</summary>
    public override string ToString()
    {
        string[] all =
        [
            .. CommonName is null ? [] : (string[])[$"CN={CommonName}"],
            .. DnsNames.Select(static name => $"DNS={name}"),
            .. Uris.Select(static name => $"URI={name}"),
        ];
        return all.Length > 0 ? string.Join(", ", all) : "no names";
    }

    /// <summary>Reads the names of a certificate.</summary>
    /// <exception cref="CryptographicException">The certificate's names are malformed.</exception>
    public static CertificateNames From(X509Certificate2 certificate)
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

    /// <summary>Parses the extension, because .NET exposes its host names and addresses, but not its URIs.</summary>
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
            throw new CryptographicException("The certificate's subjectAltName is malformed.", malformed);
        }
    }
}
