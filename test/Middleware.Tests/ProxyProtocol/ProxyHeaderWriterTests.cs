using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace ByteStreams.Middleware.Tests.ProxyProtocol;

/// <summary>P6: what is sent, byte for byte.</summary>
[Trait("Fault", "P6")]
public class ProxyHeaderWriterTests
{
    private static readonly IPEndPoint Client = IPEndPoint.Parse("192.0.2.1:51324");
    private static readonly IPEndPoint Server = IPEndPoint.Parse("198.51.100.7:443");

    [Theory]
    [InlineData("192.0.2.1:51324", "198.51.100.7:443", "PROXY TCP4 192.0.2.1 198.51.100.7 51324 443\r\n")]
    [InlineData("[2001:db8::1]:51324", "[2001:db8::2]:443", "PROXY TCP6 2001:db8::1 2001:db8::2 51324 443\r\n")]
    // A zone is of this machine only, and the protocol has none.
    [InlineData("[fe80::1%3]:1", "[fe80::2%3]:2", "PROXY TCP6 fe80::1 fe80::2 1 2\r\n")]
    // A listener for both families shows IPv4 clients as mapped; they have IPv4 addresses all the same.
    [InlineData("[::ffff:192.0.2.1]:51324", "[::ffff:198.51.100.7]:443", "PROXY TCP4 192.0.2.1 198.51.100.7 51324 443\r\n")]
    [InlineData("192.0.2.1:1", "[2001:db8::2]:2", "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n")]
    public void Write_Version1_IsTheLine(string source, string destination, string line) =>
        Assert.Equal(line, Encoding.ASCII.GetString(Write(new ProxyHeader { Version = 1, Source = IPEndPoint.Parse(source), Destination = IPEndPoint.Parse(destination) })));

    [Fact]
    public void Write_Version1OfWhatItCannotSay_IsUnknown()
    {
        var unix = new UnixDomainSocketEndPoint("/run/a.sock");
        Assert.All(
            [
                new ProxyHeader { Version = 1 }, new ProxyHeader { Version = 1, IsLocal = true, Source = Client, Destination = Server },
                new ProxyHeader { Version = 1, Source = unix, Destination = unix }, new ProxyHeader { Version = 1, Source = Client },
            ],
            header => Assert.Equal("PROXY UNKNOWN\r\n", Encoding.ASCII.GetString(Write(header))));
    }

    [Fact]
    public void Write_Version2_IsTheBinaryForm()
    {
        AssertHex("2111" + "000C" + ProxyVectors.V4, new ProxyHeader { Source = Client, Destination = Server });
        AssertHex("2121" + "0024" + ProxyVectors.V6, new ProxyHeader { Source = IPEndPoint.Parse("[2001:db8::1]:51324"), Destination = IPEndPoint.Parse("[2001:db8::2]:443") });
        AssertHex("2000" + "0000", ProxyHeader.Local);
        AssertHex("2100" + "0000", new ProxyHeader());
        AssertHex(
            "2111" + "0015" + ProxyVectors.V4 + "050002" + "00FF" + "E00001" + "2A",
            new ProxyHeader { Source = Client, Destination = Server, Tlvs = [new ProxyTlv(ProxyTlv.UniqueId, new byte[] { 0, 255 }), new ProxyTlv(0xE0, new byte[] { 42 })] });
    }

    [Fact]
    public void Write_Version2OfAUnixSocket_HasItsPathAndPadding()
    {
        byte[] written = Write(new ProxyHeader { Source = new UnixDomainSocketEndPoint("\0name"), Destination = new UnixDomainSocketEndPoint("/run/b.sock") });

        Assert.Equal(ProxyVectors.Hex(ProxyVectors.Signature + "2131" + "00D8"), written[..16]);
        Assert.Equal("\0name" + new string('\0', 103), Encoding.ASCII.GetString(written[16..124]));
        Assert.Equal("/run/b.sock" + new string('\0', 97), Encoding.ASCII.GetString(written[124..]));
    }

    [Fact]
    public void Write_PathThatOnlyLooksAbstract_IsAPath() =>
        Assert.Equal("@name\0", Encoding.ASCII.GetString(Write(new ProxyHeader { Source = new UnixDomainSocketEndPoint("@name") })[16..22]));

    [Fact]
    [Trait("Fault", "P5")]
    public void Write_WithChecksum_IsTheOneOfTheWholeHeader() =>
        Assert.Equal(
            ProxyVectors.WithChecksum("21", "11", ProxyVectors.V4 + ProxyVectors.Tlv("E0", "2A")),
            Write(new ProxyHeader { Source = Client, Destination = Server, Tlvs = [new ProxyTlv(0xE0, new byte[] { 42 })] }, withChecksum: true));

    [Fact]
    public void Write_TlvsTooLong_ThrowsWithTheirLength()
    {
        var header = new ProxyHeader { Source = Client, Destination = Server, Tlvs = [new ProxyTlv(0xE0, new byte[65535])] };

        Assert.Contains("65550 bytes long", Assert.Throws<InvalidOperationException>(() => Write(header)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Write_UnknownVersion_Throws() => Assert.Throws<ArgumentOutOfRangeException>(() => Write(new ProxyHeader { Version = 3 }));

    private static void AssertHex(string rest, ProxyHeader header) => Assert.Equal(ProxyVectors.Signature + rest, Convert.ToHexString(Write(header)));

    private static byte[] Write(ProxyHeader header, bool withChecksum = false)
    {
        var output = new ArrayBufferWriter<byte>();
        header.WriteTo(output, withChecksum);
        return output.WrittenSpan.ToArray();
    }
}
