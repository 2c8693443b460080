using System.Buffers.Binary;
using System.Text;

namespace ByteStreams;

/// <summary>What a proxy says about its client's TLS (PP2_TYPE_SSL).</summary>
public sealed class ProxySsl
{
    /// <summary>The client flags and the result of the verification.</summary>
    internal const int FixedLength = 5;

    private const byte ClientSsl = 0x01;
    private const byte ClientCertificateOnConnection = 0x02;
    private const byte ClientCertificateInSession = 0x04;

    private const byte VersionType = 0x21;
    private const byte CommonNameType = 0x22;
    private const byte CipherType = 0x23;

    private readonly ReadOnlyMemory<byte> _value;

    internal ProxySsl(ReadOnlyMemory<byte> value) => _value = value;

    /// <summary>Whether the client spoke TLS with the proxy.</summary>
    public bool IsSsl => (_value.Span[0] & ClientSsl) != 0;

    /// <summary>Whether the client has shown a certificate, on this connection or on an earlier one of its TLS session.</summary>
    public bool HasClientCertificate => (_value.Span[0] & (ClientCertificateOnConnection | ClientCertificateInSession)) != 0;

    /// <summary>
    /// Whether the client has shown a certificate and the proxy has found it valid. The zero with which the protocol says "valid"
    /// stands there for a client without a certificate as well, and proves nothing then.
    /// </summary>
    public bool IsClientVerified => HasClientCertificate && BinaryPrimitives.ReadUInt32BigEndian(_value.Span[1..]) == 0;

    /// <summary>The version, such as <c>TLSv1.3</c>.</summary>
    public string? Version => Text(VersionType);

    /// <summary>The common name of the client's certificate.</summary>
    public string? CommonName => Text(CommonNameType);

    /// <summary>The cipher's name.</summary>
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
