using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace ByteStreams.ProxyProtocol;

/// <summary>Reads the text line of PROXY protocol version 1.</summary>
internal static class ProxyHeaderV1Reader
{
    private static readonly SearchValues<byte> AddressCharacters = SearchValues.Create("0123456789abcdefABCDEF:."u8);

    /// <inheritdoc cref="ProxyHeaderReader.TryRead"/>
    public static bool TryRead(ReadOnlySpan<byte> input, out ProxyHeader? header, out int length)
    {
        (header, length) = (null, 0);
        ReadOnlySpan<byte> lineStart = ProxyHeaderFormat.LineStart;
        ProxyHeaderReader.ThrowIfNotStarting(input, lineStart);
        ReadOnlySpan<byte> line = input[..Math.Min(input.Length, ProxyHeaderFormat.MaxLineLength)];
        int end = line.IndexOfAny((byte)'\r', (byte)'\n');
        if (end >= 0 && line[end] == '\n')
        {
            throw new ProxyHeaderException("A line feed is not preceded by a carriage return.");
        }

        if (input.Length > lineStart.Length && !IsProtocol(line[lineStart.Length..]))
        {
            throw new ProxyHeaderException("The protocol is none of TCP4, TCP6, UNKNOWN.");
        }

        if (end < 0 || end + 1 == input.Length)
        {
            return input.Length < ProxyHeaderFormat.MaxLineLength ? false : throw LineTooLong();
        }

        if (end + 1 == ProxyHeaderFormat.MaxLineLength)
        {
            throw LineTooLong();
        }

        if (input[end + 1] != '\n')
        {
            throw new ProxyHeaderException("A carriage return is not followed by a line feed.");
        }

        length = end + 2;
        header = ParseLine(input[lineStart.Length..end]);
        return true;
    }

    /// <summary>Returns whether a line, which may be incomplete, starts with a known protocol.</summary>
    private static bool IsProtocol(ReadOnlySpan<byte> line)
    {
        int end = line.IndexOfAny((byte)' ', (byte)'\r');
        return end < 0
            ? "TCP4"u8.StartsWith(line) || "TCP6"u8.StartsWith(line) || "UNKNOWN"u8.StartsWith(line)
            : line[..end].SequenceEqual("TCP4"u8) || line[..end].SequenceEqual("TCP6"u8) || line[..end].SequenceEqual("UNKNOWN"u8);
    }

    /// <summary>Parses the text after <c>PROXY</c>. Its protocol is known.</summary>
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
            throw new ProxyHeaderException("Text follows the two ports.");
        }

        return new ProxyHeader
        {
            Version = 1,
            Source = new IPEndPoint(source, sourcePort),
            Destination = new IPEndPoint(destination, destinationPort),
        };
    }

    /// <summary>Returns the text up to the next space and skips the space; <paramref name="more"/> is whether there was one.</summary>
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

        // IPAddress.TryParse also accepts zones, brackets and prefixes; the character set excludes them.
        int lastColon = text.LastIndexOf((byte)':');
        if (text.IndexOfAnyExcept(AddressCharacters) < 0
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

    private static ProxyHeaderException LineTooLong() => new($"The line is longer than {ProxyHeaderFormat.MaxLineLength} bytes.");
}
