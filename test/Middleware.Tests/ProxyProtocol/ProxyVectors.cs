using System.Buffers.Binary;
using System.Net;
using System.Text;

namespace ByteStreams.Middleware.Tests.ProxyProtocol;

/// <summary>PROXY headers as bytes, with what they say or why they are refused. Source: HAProxy's proxy-protocol.txt.</summary>
internal static class ProxyVectors
{
    public const string Signature = "0D0A0D0A000D0A515549540A";

    /// <summary>192.0.2.1:51324 to 198.51.100.7:443.</summary>
    public const string V4 = "C0000201" + "C6336407" + "C87C" + "01BB";

    /// <summary>[2001:db8::1]:51324 to [2001:db8::2]:443.</summary>
    public const string V6 = "20010DB8000000000000000000000001" + "20010DB8000000000000000000000002" + "C87C" + "01BB";

    /// <summary>Valid ones: the header, its source, its destination; "-" where it does not tell.</summary>
    public static (byte[] Bytes, string Source, string Destination)[] Valid { get; } =
    [
        (Line("PROXY TCP4 192.0.2.1 198.51.100.7 51324 443"), "192.0.2.1:51324", "198.51.100.7:443"),
        (Line("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535"), "255.255.255.255:65535", "255.255.255.255:65535"),
        (Line("PROXY TCP4 0.0.0.0 0.0.0.0 0 0"), "0.0.0.0:0", "0.0.0.0:0"),
        (Line("PROXY TCP6 2001:db8::1 2001:db8::2 51324 443"), "[2001:db8::1]:51324", "[2001:db8::2]:443"),
        (Line("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535"),
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        (Line("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2"), "[::ffff:192.0.2.1]:1", "[::1]:2"),
        (Line("PROXY UNKNOWN"), "-", "-"),
        (Line("PROXY UNKNOWN whatever else stands here\u00ff"), "-", "-"),
        // The longest line of all: 107 bytes with its end.
        (Line("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535"), "-", "-"),
        (Binary("21", "11", V4), "192.0.2.1:51324", "198.51.100.7:443"),
        (Binary("21", "12", V4), "192.0.2.1:51324", "198.51.100.7:443"),
        (Binary("21", "21", V6), "[2001:db8::1]:51324", "[2001:db8::2]:443"),
        (Binary("21", "31", Path("/run/a.sock") + Path("/run/b.sock")), "/run/a.sock", "/run/b.sock"),
        (Binary("21", "31", Path("\0abstract") + Path("")), "@abstract", "-"),
        // Names that no socket of this system can have are not told.
        (Binary("21", "31", Path(new string('x', 108)) + Path("/run/b.sock")), "-", "/run/b.sock"),
        (Binary("21", "31", string.Concat(Enumerable.Repeat("FF", 108)) + Path("/run/b.sock")), "-", "/run/b.sock"),
        (Binary("21", "31", Convert.ToHexString("/run/"u8) + "FF" + new string('0', 204) + Path("/run/b.sock")), "-", "/run/b.sock"),
        // LOCAL and UNSPEC: the whole length is skipped, whatever is in it.
        (Binary("20", "00", ""), "-", "-"),
        (Binary("20", "11", V4), "-", "-"),
        (Binary("20", "11", "FF"), "-", "-"),
        (Binary("21", "00", ""), "-", "-"),
        (Binary("21", "00", "DEADBEEF"), "-", "-"),
        (Binary("21", "10", V4), "-", "-"),
        // Additions: known, unknown, empty, and padding.
        (Binary("21", "11", V4 + Tlv("04", "000000")), "192.0.2.1:51324", "198.51.100.7:443"),
        (Binary("21", "11", V4 + Tlv("E0", "") + Tlv("77", "0102")), "192.0.2.1:51324", "198.51.100.7:443"),
        (Binary("21", "11", V4 + Tlv("05", new string('A', 256))), "192.0.2.1:51324", "198.51.100.7:443"),
        (Binary("21", "11", V4 + Tlv("20", "0000000000")), "192.0.2.1:51324", "198.51.100.7:443"),
        // What `send-proxy-v2 crc32c` of HAProxy sends: its checksum over the header with the field zeroed.
        (WithChecksum("21", "11", V4), "192.0.2.1:51324", "198.51.100.7:443"),
    ];

    /// <summary>Refused ones, and what the message says.</summary>
    public static (byte[] Bytes, string Message)[] Refused { get; } =
    [
        (Text("GET / HTTP/1.1\r\n"), "does not begin with a PROXY header"),
        (Text("proxy TCP4 192.0.2.1 198.51.100.7 51324 443\r\n"), "does not begin with a PROXY header"),
        (Text("PROXY\r\n"), "does not begin with a PROXY header"),
        (Text("\r\n\r\nGET"), "does not begin with a PROXY header"),
        (Text("\u0016\u0003\u0001"), "does not begin with a PROXY header"),
        (Line("PROXY "), "none of TCP4, TCP6, UNKNOWN"),
        (Line("PROXY tcp4 192.0.2.1 198.51.100.7 51324 443"), "none of TCP4, TCP6, UNKNOWN"),
        (Line("PROXY UDP4 192.0.2.1 198.51.100.7 51324 443"), "none of TCP4, TCP6, UNKNOWN"),
        (Line("PROXY UNKNOWNS"), "none of TCP4, TCP6, UNKNOWN"),
        (Line("PROXY  TCP4 192.0.2.1 198.51.100.7 51324 443"), "none of TCP4, TCP6, UNKNOWN"),
        (Line("PROXY TCP4  192.0.2.1 198.51.100.7 51324 443"), "IPv4 address"),
        (Line("PROXY TCP4 192.0.2.1\t198.51.100.7 51324 443"), "IPv4 address"),
        (Line("PROXY TCP4 192.0.2.01 198.51.100.7 51324 443"), "IPv4 address"),
        (Line("PROXY TCP4 192.0.2.256 198.51.100.7 51324 443"), "IPv4 address"),
        (Line("PROXY TCP4 192.0.2 198.51.100.7 51324 443"), "IPv4 address"),
        (Line("PROXY TCP4 192.0.2.1. 198.51.100.7 51324 443"), "IPv4 address"),
        (Line("PROXY TCP4 0x7f.0.0.1 198.51.100.7 51324 443"), "IPv4 address"),
        (Line("PROXY TCP4 3221225985 198.51.100.7 51324 443"), "IPv4 address"),
        (Line("PROXY TCP4 2001:db8::1 198.51.100.7 51324 443"), "IPv4 address"),
        (Line("PROXY TCP6 192.0.2.1 2001:db8::2 51324 443"), "IPv6 address"),
        (Line("PROXY TCP6 fe80::1%eth0 2001:db8::2 51324 443"), "IPv6 address"),
        (Line("PROXY TCP6 [2001:db8::1] 2001:db8::2 51324 443"), "IPv6 address"),
        (Line("PROXY TCP6 2001:db8::1/64 2001:db8::2 51324 443"), "IPv6 address"),
        (Line("PROXY TCP6 ::ffff:192.0.2.01 2001:db8::2 51324 443"), "IPv6 address"),
        (Line("PROXY TCP6 1::2::3 2001:db8::2 51324 443"), "IPv6 address"),
        (Line("PROXY TCP4 192.0.2.1 198.51.100.7 65536 443"), "port"),
        (Line("PROXY TCP4 192.0.2.1 198.51.100.7 051324 443"), "port"),
        (Line("PROXY TCP4 192.0.2.1 198.51.100.7 +1 443"), "port"),
        (Line("PROXY TCP4 192.0.2.1 198.51.100.7 -1 443"), "port"),
        (Line("PROXY TCP4 192.0.2.1 198.51.100.7 51324"), "port"),
        (Line("PROXY TCP4 192.0.2.1 198.51.100.7 51324 "), "port"),
        (Line("PROXY TCP4 192.0.2.1 198.51.100.7 51324 443 "), "Text follows"),
        (Line("PROXY TCP4 192.0.2.1 198.51.100.7 51324 443 more"), "Text follows"),
        (Text("PROXY TCP4 192.0.2.1 198.51.100.7 51324 443\rX"), "not followed by a line feed"),
        (Text("PROXY TCP4 192.0.2.1 198.51.100.7 51324 443\n"), "A line feed is not preceded by a carriage return"),
        (Text("PROXY TCP4 192.0.2.1 198.51.100.7 51324 443\n\r\n"), "A line feed is not preceded by a carriage return"),
        (Text("PROXY UNKNOWN\n"), "A line feed is not preceded by a carriage return"),
        (Text("PROXY UNKNOWN some\nthing\r\n"), "A line feed is not preceded by a carriage return"),
        (Text("PROXY \n"), "A line feed is not preceded by a carriage return"),
        (Text("PROXY\n"), "does not begin with a PROXY header"),
        (Text("PROXY HTTP"), "none of TCP4, TCP6, UNKNOWN"),
        (Text("PROXY TCP5"), "none of TCP4, TCP6, UNKNOWN"),
        (Text("PROXY TCP4X"), "none of TCP4, TCP6, UNKNOWN"),
        (Text("PROXY UNKNOWNS"), "none of TCP4, TCP6, UNKNOWN"),
        (Text("PROXY  "), "none of TCP4, TCP6, UNKNOWN"),
        (Text("PROXY UNKNOWN " + new string('x', 93)), "longer than 107 bytes"),
        // One byte more than the longest line: its carriage return is the last that is looked at.
        (Line("PROXY UNKNOWN " + new string('x', 92)), "longer than 107 bytes"),
        (Hex(Signature + "11" + "11" + "000C" + V4), "version of the binary header is not 2"),
        (Hex(Signature + "31" + "11" + "000C" + V4), "version of the binary header is not 2"),
        (Hex(Signature + "22" + "11" + "000C" + V4), "neither LOCAL nor PROXY"),
        (Hex(Signature + "21" + "41" + "000C" + V4), "family or the transport protocol is unknown"),
        (Hex(Signature + "21" + "13" + "000C" + V4), "family or the transport protocol is unknown"),
        (Hex("0D0A0D0A000D0A515549540B" + "21" + "11" + "000C" + V4), "does not begin with a PROXY header"),
        (Binary("21", "11", V4[..22]), "shorter than its addresses"),
        (Binary("21", "21", V6[..70]), "shorter than its addresses"),
        (Binary("21", "31", Path("/run/a.sock")), "shorter than its addresses"),
        (Hex(Signature + "21" + "11" + "0FF1"), "4097 bytes long; MaxHeaderBytes allows 4096"),
        (Binary("21", "11", V4 + "01"), "overruns the header"),
        (Binary("21", "11", V4 + "010002" + "61"), "overruns the header"),
        (Binary("21", "11", V4 + Tlv("03", "00000000")), "checksum is wrong"),
        (Binary("21", "11", V4 + Tlv("03", "0000")), "not four bytes"),
        (WithChecksum("21", "11", V4, Tlv("03", "00000000")), "two checksums"),
        (Binary("21", "11", V4 + Tlv("05", new string('A', 258))), "longer than 128 bytes"),
        (Binary("21", "11", V4 + Tlv("02", "FF")), "not UTF-8"),
        (Binary("21", "11", V4 + Tlv("30", "0A")), "not ASCII"),
        (Binary("21", "11", V4 + Tlv("20", "00000000")), "shorter than five bytes"),
        (Binary("21", "11", V4 + Tlv("20", "0100000000" + "210002" + "54")), "overruns the SSL TLV"),
        (Binary("21", "11", V4 + Tlv("20", "0100000000" + "2100")), "overruns the SSL TLV"),
    ];

    public static byte[] Text(string text) => Encoding.Latin1.GetBytes(text);

    public static byte[] Line(string line) => Text(line + "\r\n");

    public static byte[] Hex(string hex) => Convert.FromHexString(hex);

    /// <summary>A header of version 2 with the length of what follows.</summary>
    public static byte[] Binary(string command, string family, string rest) =>
        Hex(Signature + command + family + (rest.Length / 2).ToString("X4", System.Globalization.CultureInfo.InvariantCulture) + rest);

    public static string Tlv(string type, string value) =>
        type + (value.Length / 2).ToString("X4", System.Globalization.CultureInfo.InvariantCulture) + value;

    public static string Show(EndPoint? endPoint) => endPoint?.ToString() ?? "-";

    /// <summary>With a checksum behind <paramref name="rest"/> that is computed here bit by bit, not by what is tested.</summary>
    public static byte[] WithChecksum(string command, string family, string rest, string behind = "")
    {
        byte[] header = Binary(command, family, rest + Tlv("03", "00000000") + behind);
        uint crc = uint.MaxValue;
        foreach (byte value in header)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78 : crc >> 1;
            }
        }

        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(header.Length - (behind.Length / 2) - 4), ~crc);
        return header;
    }

    private static string Path(string path) => Convert.ToHexString(Encoding.UTF8.GetBytes(path)).PadRight(216, '0');
}
