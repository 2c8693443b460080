using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Numerics;
using System.Text;
using System.Text.Unicode;

namespace ByteStreams.ProxyProtocol;

/// <summary>
/// Reads a PROXY header, strictly: whatever two programs could understand differently is refused (P3 to P5). Source: HAProxy's
/// proxy-protocol.txt.
/// </summary>
internal static class ProxyHeaderReader
{
    /// <summary>The longest line of version 1, with its end.</summary>
    public const int LongestLine = 107;

    /// <summary>Version 2 before its addresses.</summary>
    public const int FixedLength = 16;

    private const int UnixPathLength = 108;
    private const int MostUniqueId = 128;

    private static readonly SearchValues<byte> InAddresses = SearchValues.Create("0123456789abcdefABCDEF:."u8);

    public static ReadOnlySpan<byte> Signature => "\r\n\r\n\0\r\nQUIT\n"u8;

    private static ReadOnlySpan<byte> LineStart => "PROXY "u8;

    /// <summary>Reads the header at the beginning of <paramref name="input"/>.</summary>
    /// <param name="input">What has arrived so far.</param>
    /// <param name="most">The longest header that is taken, in bytes.</param>
    /// <param name="header">The header, when it is whole.</param>
    /// <param name="length">How long it is, when it is whole.</param>
    /// <returns>False while more bytes are needed.</returns>
    /// <exception cref="ProxyHeaderException">No further bytes could make it a valid header.</exception>
    public static bool TryRead(ReadOnlySpan<byte> input, int most, out ProxyHeader? header, out int length)
    {
        (header, length) = (null, 0);
        if (input.IsEmpty)
        {
            return false;
        }

        return input[0] == Signature[0]
            ? TryReadBinary(input, most, out header, out length)
            : TryReadLine(input, out header, out length);
    }

    private static bool TryReadLine(ReadOnlySpan<byte> input, out ProxyHeader? header, out int length)
    {
        (header, length) = (null, 0);
        ReadOnlySpan<byte> start = input[..Math.Min(input.Length, LineStart.Length)];
        if (!LineStart.StartsWith(start))
        {
            throw new ProxyHeaderException("The connection does not begin with a PROXY header.");
        }

        ReadOnlySpan<byte> line = input[..Math.Min(input.Length, LongestLine)];
        int end = line.IndexOfAny((byte)'\r', (byte)'\n');
        if (end >= 0 && line[end] == '\n')
        {
            throw new ProxyHeaderException("A line feed is not preceded by a carriage return.");
        }

        if (input.Length > LineStart.Length && !IsProtocol(line[LineStart.Length..]))
        {
            throw new ProxyHeaderException("The protocol is none of TCP4, TCP6, UNKNOWN.");
        }

        if (end < 0 || end + 1 == input.Length)
        {
            return input.Length < LongestLine
                ? false
                : throw new ProxyHeaderException($"The line is longer than {LongestLine} bytes.");
        }

        if (end + 1 == LongestLine)
        {
            throw new ProxyHeaderException($"The line is longer than {LongestLine} bytes.");
        }

        if (input[end + 1] != '\n')
        {
            throw new ProxyHeaderException("A carriage return is not followed by a line feed.");
        }

        length = end + 2;
        header = ParseLine(input[LineStart.Length..end]);
        return true;
    }

    /// <summary>Whether a line begins with a protocol that exists, or may with the bytes that have not arrived.</summary>
    private static bool IsProtocol(ReadOnlySpan<byte> line)
    {
        int end = line.IndexOfAny((byte)' ', (byte)'\r');
        return end < 0
            ? "TCP4"u8.StartsWith(line) || "TCP6"u8.StartsWith(line) || "UNKNOWN"u8.StartsWith(line)
            : line[..end].SequenceEqual("TCP4"u8) || line[..end].SequenceEqual("TCP6"u8) || line[..end].SequenceEqual("UNKNOWN"u8);
    }

    /// <summary>Parses what follows <c>PROXY</c>, whose protocol is one that exists.</summary>
    private static ProxyHeader ParseLine(ReadOnlySpan<byte> line)
    {
        ReadOnlySpan<byte> protocol = NextField(ref line, out bool more);
        if (protocol.SequenceEqual("UNKNOWN"u8))
        {
            return new ProxyHeader { Version = 1 };
        }

        bool isV4 = protocol.SequenceEqual("TCP4"u8);
        IPAddress source = ParseAddress(NextField(ref line, out more), isV4);
        IPAddress destination = ParseAddress(NextField(ref line, out more), isV4);
        int sourcePort = ParsePort(NextField(ref line, out more));
        int destinationPort = ParsePort(NextField(ref line, out more));
        if (more)
        {
            throw new ProxyHeaderException("Something follows the two ports.");
        }

        return new ProxyHeader
        {
            Version = 1,
            Source = new IPEndPoint(source, sourcePort),
            Destination = new IPEndPoint(destination, destinationPort),
        };
    }

    /// <summary>The text up to the next single space, which is taken as well; <paramref name="more"/> is whether there was one.</summary>
    private static ReadOnlySpan<byte> NextField(ref ReadOnlySpan<byte> line, out bool more)
    {
        int space = line.IndexOf((byte)' ');
        more = space >= 0;
        ReadOnlySpan<byte> field = more ? line[..space] : line;
        line = more ? line[(space + 1)..] : default;
        return field;
    }

    private static IPAddress ParseAddress(ReadOnlySpan<byte> text, bool isV4)
    {
        if (isV4)
        {
            return TryParseV4(text, out uint address)
                ? new IPAddress(BinaryPrimitives.ReverseEndianness(address))
                : throw new ProxyHeaderException("An IPv4 address is not four decimal numbers without leading zeros.");
        }

        // The framework's parser takes zones, brackets and prefixes too; with these characters alone none of them can be written.
        int lastColon = text.LastIndexOf((byte)':');
        if (text.IndexOfAnyExcept(InAddresses) < 0
            && lastColon >= 0
            && (text.IndexOf((byte)'.') < 0 || TryParseV4(text[(lastColon + 1)..], out _))
            && IPAddress.TryParse(Encoding.ASCII.GetString(text), out IPAddress? parsed)
            && parsed.AddressFamily == AddressFamily.InterNetworkV6)
        {
            return parsed;
        }

        throw new ProxyHeaderException("An IPv6 address is not valid.");
    }

    private static bool TryParseV4(ReadOnlySpan<byte> text, out uint address)
    {
        address = 0;
        for (int i = 0; i < 4; i++)
        {
            int dot = text.IndexOf((byte)'.');
            if ((dot < 0) != (i == 3))
            {
                return false;
            }

            if (!TryParseNumber(i == 3 ? text : text[..dot], 255, out int octet))
            {
                return false;
            }

            address = (address << 8) | (uint)octet;
            text = i == 3 ? default : text[(dot + 1)..];
        }

        return true;
    }

    private static int ParsePort(ReadOnlySpan<byte> text) => TryParseNumber(text, 65535, out int port)
        ? port
        : throw new ProxyHeaderException("A port is not a decimal number from 0 to 65535 without leading zeros.");

    private static bool TryParseNumber(ReadOnlySpan<byte> text, int most, out int number)
    {
        number = 0;
        if (text.IsEmpty || text.Length > 5 || (text[0] == '0' && text.Length > 1))
        {
            return false;
        }

        foreach (byte digit in text)
        {
            if (digit is < (byte)'0' or > (byte)'9')
            {
                return false;
            }

            number = (number * 10) + (digit - '0');
        }

        return number <= most;
    }

    private static bool TryReadBinary(ReadOnlySpan<byte> input, int most, out ProxyHeader? header, out int length)
    {
        (header, length) = (null, 0);
        if (!Signature.StartsWith(input[..Math.Min(input.Length, Signature.Length)]))
        {
            throw new ProxyHeaderException("The connection does not begin with a PROXY header.");
        }

        if (input.Length > 12 && input[12] is not (0x20 or 0x21))
        {
            throw new ProxyHeaderException(
                input[12] >> 4 == 2 ? "The command is neither LOCAL nor PROXY." : "The binary header is not of version 2.");
        }

        if (input.Length > 13 && (input[13] >> 4 > 3 || (input[13] & 0xF) > 2))
        {
            throw new ProxyHeaderException("The address family or the transport is unknown.");
        }

        if (input.Length < FixedLength)
        {
            return false;
        }

        int whole = FixedLength + BinaryPrimitives.ReadUInt16BigEndian(input[14..]);
        if (whole > most)
        {
            throw new ProxyHeaderException($"The header is {whole} bytes long; {most} are taken.");
        }

        bool isLocal = input[12] == 0x20;
        int family = input[13] >> 4;
        int addresses = family switch { 0 => 0, 1 => 12, 2 => 36, _ => 2 * UnixPathLength };
        if (!isLocal && whole < FixedLength + addresses)
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
        (EndPoint? source, EndPoint? destination) = ParseAddresses(all.Slice(FixedLength, addresses), family);
        header = new ProxyHeader
        {
            Version = 2,
            Source = source,
            Destination = destination,
            Tlvs = ParseTlvs(all, FixedLength + addresses),
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
                return (ParsePath(addresses[..UnixPathLength]), ParsePath(addresses[UnixPathLength..]));
        }
    }

    /// <summary>A path up to its NUL; an abstract name begins with one. Null where the socket has no name, or one that cannot be shown.</summary>
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
            // All of its 108 bytes, without the NUL that the runtime adds.
            return null;
        }
    }

    private static List<ProxyTlv> ParseTlvs(ReadOnlySpan<byte> all, int offset)
    {
        var tlvs = new List<ProxyTlv>();
        bool checkedSum = false;
        while (offset < all.Length)
        {
            if (all.Length - offset < 3)
            {
                throw new ProxyHeaderException("An addition overruns the header.");
            }

            byte type = all[offset];
            int length = BinaryPrimitives.ReadUInt16BigEndian(all[(offset + 1)..]);
            offset += 3;
            if (length > all.Length - offset)
            {
                throw new ProxyHeaderException("An addition overruns the header.");
            }

            ReadOnlySpan<byte> value = all.Slice(offset, length);
            if (type == ProxyTlv.Crc32C)
            {
                if (checkedSum)
                {
                    throw new ProxyHeaderException("There are two checksums.");
                }

                CheckSum(all, offset, length);
                checkedSum = true;
            }
            else if (type != ProxyTlv.NoOperation)
            {
                Check(type, value);
                tlvs.Add(new ProxyTlv(type, value.ToArray()));
            }

            offset += length;
        }

        return tlvs;
    }

    private static void CheckSum(ReadOnlySpan<byte> all, int offset, int length)
    {
        if (length != 4)
        {
            throw new ProxyHeaderException("A checksum is not four bytes long.");
        }

        if (Crc32C(all, offset) != BinaryPrimitives.ReadUInt32BigEndian(all[offset..]))
        {
            throw new ProxyHeaderException("The checksum is wrong.");
        }
    }

    /// <summary>The CRC32C of a header of which the four bytes at <paramref name="field"/> count as zero.</summary>
    internal static uint Crc32C(ReadOnlySpan<byte> header, int field)
    {
        uint crc = uint.MaxValue;
        for (int i = 0; i < header.Length; i++)
        {
            crc = BitOperations.Crc32C(crc, i >= field && i < field + 4 ? (byte)0 : header[i]);
        }

        return ~crc;
    }

    private static void Check(byte type, ReadOnlySpan<byte> value)
    {
        switch (type)
        {
            case ProxyTlv.UniqueId when value.Length > MostUniqueId:
                throw new ProxyHeaderException($"The unique id is longer than {MostUniqueId} bytes.");
            case ProxyTlv.Authority when !Utf8.IsValid(value):
                throw new ProxyHeaderException("The authority is not UTF-8.");
            case ProxyTlv.NetworkNamespace when value.IndexOfAnyExceptInRange((byte)0x20, (byte)0x7E) >= 0:
                throw new ProxyHeaderException("The network namespace is not ASCII.");
            case ProxyTlv.Ssl:
                CheckSsl(value);
                break;
        }
    }

    private static void CheckSsl(ReadOnlySpan<byte> value)
    {
        if (value.Length < ProxySsl.FixedLength)
        {
            throw new ProxyHeaderException("The TLS addition is shorter than five bytes.");
        }

        ReadOnlySpan<byte> rest = value[ProxySsl.FixedLength..];
        while (!rest.IsEmpty)
        {
            if (rest.Length < 3 || BinaryPrimitives.ReadUInt16BigEndian(rest[1..]) > rest.Length - 3)
            {
                throw new ProxyHeaderException("A part of the TLS addition overruns it.");
            }

            rest = rest[(3 + BinaryPrimitives.ReadUInt16BigEndian(rest[1..]))..];
        }
    }
}
