using System.Net;
using System.Text;
using ByteStreams.ProxyProtocol;
using CsCheck;

namespace ByteStreams.Middleware.Tests.ProxyProtocol;

/// <summary>P3, P4, P5: what is a header, and what is none. Each vector is also read one byte at a time.</summary>
public class ProxyHeaderReaderTests
{
    private const int Most = 4096;

    public static TheoryData<int> Valid => [.. Enumerable.Range(0, ProxyVectors.Valid.Length)];

    public static TheoryData<int> Refused => [.. Enumerable.Range(0, ProxyVectors.Refused.Length)];

    [Theory, MemberData(nameof(Valid))]
    [Trait("Fault", "P3"), Trait("Fault", "P4"), Trait("Fault", "P5")]
    public void TryRead_Valid_ReturnsTheAddressesAndConsumesOnlyTheHeader(int vector)
    {
        (byte[] bytes, string source, string destination) = ProxyVectors.Valid[vector];

        Assert.True(ProxyHeaderReader.TryRead([.. bytes, .. "rest"u8], Most, out ProxyHeader? header, out int length));

        Assert.Equal(bytes.Length, length);
        Assert.Equal((source, destination), (ProxyVectors.Show(header!.Source), ProxyVectors.Show(header.Destination)));
    }

    [Theory, MemberData(nameof(Valid))]
    [Trait("Fault", "F30")]
    public void TryRead_ValidCutAnywhere_NeedsMore_F30(int vector)
    {
        byte[] bytes = ProxyVectors.Valid[vector].Bytes;

        for (int length = 0; length < bytes.Length; length++)
        {
            Assert.False(ProxyHeaderReader.TryRead(bytes.AsSpan(0, length), Most, out ProxyHeader? header, out _), $"at {length}");
            Assert.Null(header);
        }
    }

    [Theory, MemberData(nameof(Refused))]
    [Trait("Fault", "P3"), Trait("Fault", "P4"), Trait("Fault", "P5"), Trait("Fault", "F30")]
    public void TryRead_Malformed_IsRefusedWithTheCause_F30(int vector)
    {
        (byte[] bytes, string message) = ProxyVectors.Refused[vector];

        Assert.Contains(
            message,
            Assert.Throws<ProxyHeaderException>(() => ProxyHeaderReader.TryRead(bytes, Most, out _, out _)).Message,
            StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Refused))]
    [Trait("Fault", "F30")]
    public void TryRead_MalformedCutAnywhere_IsNeverTaken_F30(int vector)
    {
        byte[] bytes = ProxyVectors.Refused[vector].Bytes;
        bool wasRefused = false;

        for (int length = 0; length <= bytes.Length; length++)
        {
            bool isRefused = Record.Exception(() => Assert.False(ProxyHeaderReader.TryRead(bytes.AsSpan(0, length), Most, out _, out _))) is ProxyHeaderException;

            // Once it is hopeless, no further byte makes it good.
            Assert.True(isRefused || !wasRefused, $"at {length}");
            wasRefused = isRefused;
        }

        Assert.True(wasRefused);
    }

    [Theory]
    [InlineData("GET /")]
    [InlineData("\u0016")]
    [InlineData("PROXYZ")]
    [InlineData("\r\n\r\nX")]
    [Trait("Fault", "F30")]
    public void TryRead_FirstByteThatIsNone_IsRefusedAtOnce_F30(string text) =>
        Assert.Throws<ProxyHeaderException>(() => ProxyHeaderReader.TryRead(Encoding.Latin1.GetBytes(text), Most, out _, out _));

    [Theory]
    [InlineData("PROXY UNKNOWN\n", 14)]
    [InlineData("PROXY UNKNOWN x\ny\r\n", 16)]
    [InlineData("PROXY TCP4 192.0.2.1 198.51.100.7 51324 443\n", 44)]
    [InlineData("PROXY UDP4 192.0.2.1 198.51.100.7 51324 443\r\n", 8)]
    [InlineData("PROXY UNKNOWNS\r\n", 14)]
    [Trait("Fault", "F30")]
    public void TryRead_OneByteAtATime_IsRefusedWithTheByteThatMakesItInvalid_F30(string text, int bytes)
    {
        byte[] input = Encoding.Latin1.GetBytes(text);

        for (int length = 0; length < bytes; length++)
        {
            Assert.False(ProxyHeaderReader.TryRead(input.AsSpan(0, length), Most, out _, out _), $"at {length}");
        }

        for (int length = bytes; length <= input.Length; length++)
        {
            Assert.Throws<ProxyHeaderException>(() => ProxyHeaderReader.TryRead(input.AsSpan(0, length), Most, out _, out _));
        }
    }

    [Fact]
    [Trait("Fault", "P4")]
    public void TryRead_LongerThanTaken_IsRefusedBeforeItHasArrived() =>
        Assert.Equal(
            "The header is 65551 bytes long; MaxHeaderBytes allows 4096.",
            Assert.Throws<ProxyHeaderException>(() => ProxyHeaderReader.TryRead(ProxyVectors.Hex(ProxyVectors.Signature + "2111FFFF"), Most, out _, out _)).Message);

    [Fact]
    [Trait("Fault", "P5")]
    public void Tlvs_OfEachKind_AreRead()
    {
        string ssl = "05" + "00000000" + ProxyVectors.Tlv("21", Hex("TLSv1.3")) + ProxyVectors.Tlv("22", Hex("client.example")) + ProxyVectors.Tlv("23", Hex("TLS_AES_256_GCM_SHA384"));
        byte[] bytes = ProxyVectors.WithChecksum("21", "11", ProxyVectors.V4
            + ProxyVectors.Tlv("01", Hex("h2")) + ProxyVectors.Tlv("02", Hex("b\u00fccher.example")) + ProxyVectors.Tlv("05", "00FF10") + ProxyVectors.Tlv("30", Hex("blue"))
            + ProxyVectors.Tlv("04", "00") + ProxyVectors.Tlv("EA", "01" + Hex("vpce-08d2bf15fac5001c9")) + ProxyVectors.Tlv("20", ssl) + ProxyVectors.Tlv("E5", "2A"));

        Assert.True(ProxyHeaderReader.TryRead(bytes, Most, out ProxyHeader? header, out _));

        Assert.Equal("h2", header!.ApplicationProtocol);
        Assert.Equal("b\u00fccher.example", header.Authority);
        Assert.Equal([0x00, 0xFF, 0x10], header.UniqueId.ToArray());
        Assert.Equal("blue", header.NetworkNamespace);
        Assert.Equal("vpce-08d2bf15fac5001c9", header.AwsVpcEndpointId);
        Assert.Equal(("TLSv1.3", "client.example", "TLS_AES_256_GCM_SHA384"), (header.Ssl!.Version, header.Ssl.CommonName, header.Ssl.Cipher));
        Assert.True(header.Ssl is { IsSsl: true, HasClientCertificate: true, IsClientVerified: true });
        // Neither the checksum nor the padding is an addition.
        Assert.Equal([0x01, 0x02, 0x05, 0x30, 0xEA, 0x20, 0xE5], header.Tlvs.Select(tlv => tlv.Type));
    }

    [Theory]
    [InlineData("01", "00000000", false)]
    [InlineData("03", "00000000", true)]
    [InlineData("05", "00000000", true)]
    [InlineData("03", "00000001", false)]
    [InlineData("00", "00000000", false)]
    [Trait("Fault", "P5")]
    public void Ssl_VerifyZero_ProvesACertificateOnlyWhereThereIsOne(string flags, string verify, bool verified)
    {
        Assert.True(ProxyHeaderReader.TryRead(
            ProxyVectors.Binary("21", "11", ProxyVectors.V4 + ProxyVectors.Tlv("20", flags + verify)), Most, out ProxyHeader? header, out _));

        Assert.Equal(verified, header!.Ssl!.IsClientVerified);
    }

    [Fact]
    public void TryRead_WhatWasWritten_IsTheSame()
    {
        Gen<IPAddress> v4 = Gen.Byte.Array[4].Select(bytes => new IPAddress(bytes));
        Gen<IPAddress> v6 = Gen.Byte.Array[16].Where(bytes => !new IPAddress(bytes).IsIPv4MappedToIPv6).Select(bytes => new IPAddress(bytes));
        Gen<ProxyTlv> tlv = Gen.Select(Gen.Byte[0xE0, 0xFF], Gen.Byte.Array[0, 300], (type, value) => new ProxyTlv(type, value));
        Gen.Select(Gen.OneOf(Gen.Select(v4, v4), Gen.Select(v6, v6)), Gen.Int[0, 65535], Gen.Int[0, 65535], tlv.List[0, 6], Gen.Bool, Gen.Byte.Array[0, 40])
            .Sample((addresses, sourcePort, destinationPort, tlvs, checksum, behind) =>
            {
                var written = new ProxyHeader
                {
                    Source = new IPEndPoint(addresses.Item1, sourcePort),
                    Destination = new IPEndPoint(addresses.Item2, destinationPort),
                    Tlvs = tlvs,
                };
                var output = new System.Buffers.ArrayBufferWriter<byte>();
                written.WriteTo(output, checksum);

                Assert.True(ProxyHeaderReader.TryRead([.. output.WrittenSpan, .. behind], 65551, out ProxyHeader? read, out int length));

                Assert.Equal(output.WrittenCount, length);
                Assert.Equal((written.Source, written.Destination), (read!.Source, read.Destination));
                Assert.Equal(tlvs.Select(tlv => (tlv.Type, Convert.ToHexString(tlv.Value.Span))), read.Tlvs.Select(tlv => (tlv.Type, Convert.ToHexString(tlv.Value.Span))));
                Assert.False(ProxyHeaderReader.TryRead(output.WrittenSpan[..^1], 65551, out _, out _));

                var line = new System.Buffers.ArrayBufferWriter<byte>();
                new ProxyHeader { Version = 1, Source = written.Source, Destination = written.Destination }.WriteTo(line);
                Assert.True(ProxyHeaderReader.TryRead(line.WrittenSpan, Most, out read, out length));
                Assert.Equal((line.WrittenCount, written.Source, written.Destination), (length, read!.Source, read.Destination));
            });
    }

    [Fact]
    [Trait("Fault", "F30")]
    public void TryRead_ValidWithAByteChanged_IsReadOrRefusedAndNothingElse_F30()
    {
        Gen.Select(Gen.Int[0, ProxyVectors.Valid.Length - 1], Gen.Int[0, 300], Gen.Byte).Sample((vector, position, value) =>
        {
            byte[] bytes = [.. ProxyVectors.Valid[vector].Bytes];
            bytes[position % bytes.Length] = value;
            try
            {
                if (ProxyHeaderReader.TryRead(bytes, Most, out ProxyHeader? header, out int length))
                {
                    Assert.InRange(length, 15, bytes.Length);
                    // Everything that it says can be looked at.
                    _ = $"{header} {header!.Authority} {header.ApplicationProtocol} {header.NetworkNamespace} {header.AwsVpcEndpointId} {header.Ssl?.CommonName}";
                }
            }
            catch (ProxyHeaderException)
            {
                // The one thing that it may throw.
            }
        });
    }

    private static string Hex(string text) => Convert.ToHexString(Encoding.UTF8.GetBytes(text));
}
