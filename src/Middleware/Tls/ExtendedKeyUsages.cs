using System.Security.Cryptography;

namespace ByteStreams.Tls;

/// <summary>The extended key usages (RFC 5280, 4.2.1.12) that a certificate must have, unless it has none at all.</summary>
internal static class ExtendedKeyUsages
{
    public static readonly Oid Server = new("1.3.6.1.5.5.7.3.1");

    public static readonly Oid Client = new("1.3.6.1.5.5.7.3.2");
}
