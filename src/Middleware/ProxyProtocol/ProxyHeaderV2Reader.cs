using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Unicode;

namespace ByteStreams.ProxyProtocol;

/// <summary>Reads the binary header of PROXY protocol version 2.</summary>
internal static class ProxyHeaderV2Reader
{
    /// <inheritdoc cref="ProxyHeaderReader.TryRead"/>
    public static bool TryRead(ReadOnlySpan<byte> input, int maxLength, out ProxyHeader? header, out int length)
    {
        (header, length) = (null, 0);
        ProxyHeaderReader.ThrowIfNotStarting(input, ProxyHeaderFormat.Signature);
        if (input.Length > 12 && input[12] is not (ProxyHeaderFormat.LocalCommand or ProxyHeaderFormat.ProxyCommand))
        {
            throw new ProxyHeaderException(
                input[12] >> 4 == 2 ? "The command is neither LOCAL nor PROXY." : "The version of the binary header is not 2.");
        }

        if (input.Length > 13 && (input[13] >> 4 > 3 || (input[13] & 0xF) > 2))
        {
            throw new ProxyHeaderException("The address family or the transport protocol is unknown.");
        }

        if (input.Length < ProxyHeaderFormat.FixedLength)
        {
            return false;
        }

        int whole = ProxyHeaderFormat.FixedLength + BinaryPrimitives.ReadUInt16BigEndian(input[14..]);
        if (whole > maxLength)
        {
            throw new ProxyHeaderException($"The header is {whole} bytes long; MaxHeaderBytes allows {maxLength}.");
        }

        bool isLocal = input[12] == ProxyHeaderFormat.LocalCommand;
        int family = input[13] >> 4;
        int addresses = family switch { 0 => 0, 1 => 12, 2 => 36, _ => 2 * ProxyHeaderFormat.UnixPathLength };
        if (!isLocal && whole < ProxyHeaderFormat.FixedLength + addresses)
        {
            throw new ProxyHeaderException("The header is shorter than its addresses.");
        }

        if (input.Length < whole)
        {
            return false;
        }

        length = whole;
        bool isUnspecified = family == 0 || (input[13] & 0xF) == 0;
        if (isLocal || isUnspecified)
        {
            header = new ProxyHeader { Version = 2, IsLocal = isLocal };
            return true;
        }

        ReadOnlySpan<byte> all = input[..whole];
        (EndPoint? source, EndPoint? destination) = ParseAddresses(all.Slice(ProxyHeaderFormat.FixedLength, addresses), family);
        header = new ProxyHeader
        {
            Version = 2,
            Source = source,
            Destination = destination,
            Tlvs = ProxyTlvReader.Read(all, ProxyHeaderFormat.FixedLength + addresses),
        };
        return true;
    }

    private static (EndPoint? Source, EndPoint? Destination) ParseAddresses(ReadOnlySpan<byte> addresses, int family)
    {
        switch (family)
        {
            case 1:
                return (
                    new IPEndPoint(new IPAddress(addresses[..4]), BinaryPrimitives.ReadUInt16BigEndian(addresses[8..])),
                    new IPEndPoint(new IPAddress(addresses[4..8]), BinaryPrimitives.ReadUInt16BigEndian(addresses[10..])));
            case 2:
                return (
                    new IPEndPoint(new IPAddress(addresses[..16]), BinaryPrimitives.ReadUInt16BigEndian(addresses[32..])),
                    new IPEndPoint(new IPAddress(addresses[16..32]), BinaryPrimitives.ReadUInt16BigEndian(addresses[34..])));
            default:
                return (ParsePath(addresses[..ProxyHeaderFormat.UnixPathLength]), ParsePath(addresses[ProxyHeaderFormat.UnixPathLength..]));
        }
    }

    /// <summary>Parses a path up to its NUL; an abstract name starts with a NUL. Returns null for an unnamed socket and for a name that .NET cannot represent.</summary>
    private static UnixDomainSocketEndPoint? ParsePath(ReadOnlySpan<byte> padded)
    {
        bool isAbstract = padded[0] == 0;
        ReadOnlySpan<byte> rest = isAbstract ? padded[1..] : padded;
        int end = rest.IndexOf((byte)0);
        ReadOnlySpan<byte> name = end < 0 ? rest : rest[..end];
        if (name.IsEmpty || !Utf8.IsValid(name))
        {
            return null;
        }

        try
        {
            return new UnixDomainSocketEndPoint((isAbstract ? "\0" : string.Empty) + Encoding.UTF8.GetString(name));
        }
        catch (ArgumentOutOfRangeException)
        {
            // A path of all 108 bytes: .NET needs one for the NUL that it appends.
            return null;
        }
    }
}
