namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>One frame, and its bytes on the wire, as Latin-1 text. Sources: see each.</summary>
internal sealed record FrameSample(string Name, Framing Framing, string Frame, string Wire)
{
    public static FrameSample[] All { get; } =
    [
        new("delimited by one byte", Framing.Delimited("\n"u8), "hello", "hello\n"),
        new("delimited by two bytes", Framing.Delimited("\r\n"u8), "a\rb\n", "a\rb\n\r\n"),
        new("delimited, empty", Framing.Delimited("||"u8), "", "||"),
        new("length of 1 byte", Framing.LengthPrefixed(1), "hello", "\x05hello"),
        new("length of 2 bytes", Framing.LengthPrefixed(2), "hello", "\0\x05hello"),
        new("length of 2 bytes, little-endian", Framing.LengthPrefixed(2, Endianness.LittleEndian), "hello", "\x05\0hello"),
        new("length of 3 bytes", Framing.LengthPrefixed(3), "hello", "\0\0\x05hello"),
        // Python: struct.pack(">I", 5); tokio: LengthDelimitedCodec::new().
        new("length of 4 bytes", Framing.LengthPrefixed(4), "hello", "\0\0\0\x05hello"),
        new("length of 4 bytes, little-endian", Framing.LengthPrefixed(4, Endianness.LittleEndian), "hello", "\x05\0\0\0hello"),
        new("length of 4 bytes, empty", Framing.LengthPrefixed(4), "", "\0\0\0\0"),
        new("length of 8 bytes", Framing.LengthPrefixed(8), "hello", "\0\0\0\0\0\0\0\x05hello"),
        // The examples of Netty's LengthFieldBasedFrameDecoder, in its order: 2-byte length at offset 0, no strip.
        new("Netty: header kept", Framing.LengthPrefixed(2, strip: 0), "\0\x0CHELLO, WORLD", "\0\x0CHELLO, WORLD"),
        new("Netty: header stripped", Framing.LengthPrefixed(2), "HELLO, WORLD", "\0\x0CHELLO, WORLD"),
        new("Netty: length of the whole", Framing.LengthPrefixed(2, adjustment: -2, strip: 0), "\0\x0EHELLO, WORLD", "\0\x0EHELLO, WORLD"),
        new("Netty: length after a header", Framing.LengthPrefixed(3, offset: 2, strip: 0), "\xCA\xFE\0\0\x0CHELLO, WORLD", "\xCA\xFE\0\0\x0CHELLO, WORLD"),
        new("Netty: length before a header", Framing.LengthPrefixed(3, adjustment: 2, strip: 0), "\0\0\x0C\xCA\xFEHELLO, WORLD", "\0\0\x0C\xCA\xFEHELLO, WORLD"),
        new("Netty: first header stripped", Framing.LengthPrefixed(2, offset: 1, adjustment: 1, strip: 3), "\xFEHELLO, WORLD", "\0\0\x0C\xFEHELLO, WORLD"),
        new("Netty: first header stripped, length of the whole", Framing.LengthPrefixed(2, offset: 1, adjustment: -3, strip: 3), "\xFEHELLO, WORLD", "\0\0\x10\xFEHELLO, WORLD"),
        // Go: binary.AppendUvarint; Protocol Buffers: Base 128 Varints.
        new("varint of 1 byte", Framing.Varint(), "hello", "\x05hello"),
        new("varint, empty", Framing.Varint(), "", "\0"),
        new("varint of 2 bytes", Framing.Varint(), new string('x', 300), "\xAC\x02" + new string('x', 300)),
        // D. J. Bernstein, Netstrings: "hello world!" and the empty string.
        new("netstring", Framing.Netstring(), "hello world!", "12:hello world!,"),
        new("netstring, empty", Framing.Netstring(), "", "0:,"),
        // Language Server Protocol 3.17, base protocol.
        new("content length", Framing.ContentLength(), "{\"id\":1}", "Content-Length: 8\r\n\r\n{\"id\":1}"),
        new("content length, empty", Framing.ContentLength(), "", "Content-Length: 0\r\n\r\n"),
        new("fixed", Framing.Fixed(5), "hello", "hello"),
    ];

    public static FrameSample Get(string name) => All.Single(sample => sample.Name == name);
}
