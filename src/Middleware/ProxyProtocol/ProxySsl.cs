using System.Buffers.Binary;
using System.Text;

namespace ByteStreams;

/// <summary>The client's TLS connection with the proxy (PP2_TYPE_SSL).</summary>
public sealed class ProxySsl
{
    /// <summary>The length of the client flags and the verification result.</summary>
    internal const int FixedLength = 5;

    private const byte ClientSsl = 0x01;
    private const byte ClientCertificateOnConnection = 0x02;
    private const byte ClientCertificateInSession = 0x04;

    private const byte VersionType = 0x21;
    private const byte CommonNameType = 0x22;
    private const byte CipherType = 0x23;

    private readonly ReadOnlyMemory<byte> _value;

    internal ProxySsl(ReadOnlyMemory<byte> value) => _value = value;

    /// <summary>Whether the client used TLS.</summary>
    public bool IsSsl => (_value.Span[0] & ClientSsl) != 0;

    /// <summary>Whether the client presented a certificate, on this connection or on an earlier one of its TLS session.</summary>
    public bool HasClientCertificate => (_value.Span[0] & (ClientCertificateOnConnection | ClientCertificateInSession)) != 0;

    /// <summary>
    /// Whether the client presented a certificate that the proxy verified. The protocol's result field is also zero ("verified") for a
    /// client without a certificate, so that the field alone proves nothing.
    /// </summary>
    public bool IsClientVerified => HasClientCertificate && BinaryPrimitives.ReadUInt32BigEndian(_value.Span[1..]) == 0;

    /// <summary>The TLS version, such as <c>TLSv1.3</c>.</summary>
    public string? Version => Text(VersionType);

    /// <summary>The common name of the client's certificate.</summary>
    public string? CommonName => Text(CommonNameType);

    /// <summary>The name of the cipher suite.</summary>
    public string? Cipher => Text(CipherType);

    private string? Text(byte type)
    {
        ReadOnlySpan<byte> rest = _value.Span[FixedLength..];
        while (!rest.IsEmpty)
        {
            int length = BinaryPrimitives.ReadUInt16BigEndian(rest[1..]);
            if (rest[0] == type)
            {
                return Encoding.UTF8.GetString(rest.Slice(3, length));
            }

            rest = rest[(3 + length)..];
        }

        return null;
    }
}
