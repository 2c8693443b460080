using ByteStreams.Streams;

namespace ByteStreams;

/// <content>The framings.</content>
public abstract partial class Framing
{
    /// <summary>
    /// Each frame ends with a delimiter, which is written after each frame and is not part of what a read returns. DotNetty's
    /// <c>DelimiterBasedFrameDecoder</c>; SuperSocket's <c>TerminatorPipelineFilter</c>.
    /// </summary>
    /// <param name="delimiter">One or more bytes; copied. A frame that contains it cannot be written: <see cref="ArgumentException"/>.</param>
    /// <param name="maxLength">The longest frame in bytes, without the delimiter.</param>
    /// <returns>The framing.</returns>
    /// <exception cref="ArgumentException">The delimiter is empty.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxLength"/> is not 1 to <see cref="Array.MaxLength"/>.</exception>
    public static Framing Delimited(ReadOnlySpan<byte> delimiter, int maxLength = DefaultMaxLength) =>
        new DelimitedFraming(delimiter, maxLength);

    /// <summary>
    /// Each frame has an unsigned length field of fixed size. The parameters are those of Netty's <c>LengthFieldBasedFrameDecoder</c>; the whole
    /// frame is <paramref name="offset"/> + <paramref name="size"/> + the field's value + <paramref name="adjustment"/> bytes.
    /// </summary>
    /// <param name="size">The bytes of the length field: 1, 2, 3, 4 or 8.</param>
    /// <param name="endianness">The order of these bytes.</param>
    /// <param name="offset">The bytes before the length field.</param>
    /// <param name="adjustment">
    /// Added to the field's value: minus the size of the header if the value counts the header; the size of what is between the field and the
    /// content if the value does not count that.
    /// </param>
    /// <param name="strip">
    /// The bytes at the start of the frame that a read does not return: all through the length field (the default, null), or more, or 0. They
    /// are written as zeros, except the length field. With 0 the frame that is written has its header, in which the length is filled in.
    /// </param>
    /// <param name="maxLength">The longest frame in bytes, without what is stripped.</param>
    /// <returns>The framing.</returns>
    /// <exception cref="ArgumentOutOfRangeException">
    /// A parameter is out of its range: <paramref name="offset"/> + <paramref name="size"/> and <paramref name="strip"/> are at most 64; a
    /// <paramref name="strip"/> other than 0 is at least <paramref name="offset"/> + <paramref name="size"/>; <paramref name="maxLength"/> is 1
    /// to <see cref="Array.MaxLength"/>.
    /// </exception>
    public static Framing LengthPrefixed(
        int size,
        Endianness endianness = Endianness.BigEndian,
        int offset = 0,
        int adjustment = 0,
        int? strip = null,
        int maxLength = DefaultMaxLength) =>
        new LengthPrefixedFraming(size, endianness, offset, adjustment, strip, maxLength);

    /// <summary>
    /// Each frame begins with its length as an unsigned LEB128 varint of up to 64 bits: Protocol Buffers' delimited messages, Go's
    /// <c>binary.Uvarint</c>, DotNetty's <c>ProtobufVarint32FrameDecoder</c>.
    /// </summary>
    /// <param name="maxLength">The longest frame in bytes, without the length.</param>
    /// <param name="allowNonMinimal">
    /// Whether a length may have more bytes than it needs (0x80 0x00 for 0), up to ten. False by default: each frame then has one encoding.
    /// </param>
    /// <returns>The framing. It writes the shortest form.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxLength"/> is not 1 to <see cref="Array.MaxLength"/>.</exception>
    public static Framing Varint(int maxLength = DefaultMaxLength, bool allowNonMinimal = false) =>
        new VarintFraming(maxLength, allowNonMinimal);

    /// <summary>
    /// Each frame is a netstring: the length in decimal digits, <c>:</c>, the bytes, <c>,</c>. Source: D. J. Bernstein, Netstrings, 1997. A length with leading
    /// zeros is invalid.
    /// </summary>
    /// <param name="maxLength">The longest frame in bytes, without length and comma.</param>
    /// <returns>The framing.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxLength"/> is not 1 to <see cref="Array.MaxLength"/>.</exception>
    public static Framing Netstring(int maxLength = DefaultMaxLength) => new NetstringFraming(maxLength);

    /// <summary>
    /// Each frame follows header lines with exactly one <c>Content-Length</c>, and an empty line, each line ended by CR LF. Source: the base protocol of the
    /// Language Server Protocol 3.17; field syntax of RFC 9110. Other headers are ignored, and not written.
    /// </summary>
    /// <param name="maxLength">The longest frame in bytes, without the headers.</param>
    /// <param name="maxHeaderLength">The longest headers in bytes, with all line ends; at least 32.</param>
    /// <returns>The framing.</returns>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="maxLength"/> is not 1 to <see cref="Array.MaxLength"/>, or <paramref name="maxHeaderLength"/> is less than 32 or more than 65,536.
    /// </exception>
    public static Framing ContentLength(int maxLength = DefaultMaxLength, int maxHeaderLength = 4096) =>
        new ContentLengthFraming(maxLength, maxHeaderLength);

    /// <summary>Each frame has the same length. A frame of another length cannot be written: <see cref="ArgumentException"/>.</summary>
    /// <param name="length">The length in bytes.</param>
    /// <returns>The framing; its <see cref="MaxLength"/> is <paramref name="length"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="length"/> is not 1 to <see cref="Array.MaxLength"/>.</exception>
    public static Framing Fixed(int length) => new FixedFraming(length);
}
