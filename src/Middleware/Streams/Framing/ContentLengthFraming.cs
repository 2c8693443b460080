using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace ByteStreams.Streams;

/// <summary><see cref="Framing.ContentLength"/>.</summary>
internal sealed class ContentLengthFraming : Framing
{
    private static readonly ReadOnlyMemory<byte>[] HeadersEnd = ["\r\n\r\n"u8.ToArray()];

    // RFC 9110, 5.6.2: the characters of a field's name.
    private static readonly SearchValues<byte> NameBytes =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);

    private readonly int _maxHeaderLength;

    public ContentLengthFraming(int maxLength, int maxHeaderLength)
        : base(maxLength)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxHeaderLength, 32);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(maxHeaderLength, 65536);
        _maxHeaderLength = maxHeaderLength;
    }

    internal override FrameBounds Measure(in ReadOnlySequence<byte> buffer, ref long searched, ByteStreamReader reader)
    {
        if (Separators.TryFind(buffer, searched, HeadersEnd, out _, out long end) && end <= _maxHeaderLength)
        {
            int length = Parse(buffer.Slice(0, end), reader);
            return new FrameBounds(end + length, (int)end, length);
        }

        if (buffer.Length >= _maxHeaderLength)
        {
            throw new LimitOverrunException(
                $"Headers of more than {_maxHeaderLength} bytes are over the maximum.", (int)Math.Min(buffer.Length, int.MaxValue))
            {
                Reader = reader,
                Reason = ConnectionCloseReason.FrameTooLong,
            };
        }

        searched = Math.Max(0, buffer.Length - 3);
        return default;
    }

    internal override FrameHead WriteHead(long length, Span<byte> head)
    {
        "Content-Length: "u8.CopyTo(head);
        Utf8Formatter.TryFormat(length, head[16..], out int digits);
        HeadersEnd[0].Span.CopyTo(head[(16 + digits)..]);
        return new FrameHead(16 + digits + 4);
    }

    private int Parse(in ReadOnlySequence<byte> headers, ByteStreamReader reader)
    {
        if (headers.IsSingleSegment)
        {
            return Parse(headers.FirstSpan, headers, reader);
        }

        byte[] rented = ArrayPool<byte>.Shared.Rent((int)headers.Length);
        try
        {
            headers.CopyTo(rented);
            return Parse(rented.AsSpan(0, (int)headers.Length), headers, reader);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private int Parse(ReadOnlySpan<byte> bytes, in ReadOnlySequence<byte> headers, ByteStreamReader reader)
    {
        int length = -1;
        // The last line is empty and ends the headers.
        for (ReadOnlySpan<byte> rest = bytes[..^2]; !rest.IsEmpty;)
        {
            int end = rest.IndexOf("\r\n"u8);
            ReadOnlySpan<byte> line = rest[..end];
            rest = rest[(end + 2)..];
            int colon = line.IndexOf((byte)':');
            // Stricter than most, because two parsers that disagree about a length are a way to smuggle messages.
            if (colon <= 0 || line[..colon].ContainsAnyExcept(NameBytes) || line.ContainsAny((byte)'\r', (byte)'\n', (byte)0))
            {
                throw Invalid(reader, "A header is not a name, a colon and a value.");
            }

            if (Ascii.EqualsIgnoreCase(line[..colon], "Content-Length"u8))
            {
                length = length < 0
                    ? ParseLength(line[(colon + 1)..].Trim(" \t"u8), headers, reader)
                    : throw Invalid(reader, "There is more than one Content-Length.");
            }
        }

        return length >= 0 ? length : throw Invalid(reader, "There is no Content-Length.");
    }

    private int ParseLength(ReadOnlySpan<byte> digits, in ReadOnlySequence<byte> headers, ByteStreamReader reader)
    {
        if (digits.IsEmpty || digits.ContainsAnyExceptInRange((byte)'0', (byte)'9'))
        {
            throw Invalid(reader, "The value of Content-Length is not a number of decimal digits.");
        }

        // The maximum is exceeded before the value overflows.
        long value = 0;
        foreach (byte digit in digits)
        {
            value = (10 * value) + (digit - '0');
            if (value > MaxLength)
            {
                throw TooLong(reader, headers, $"A frame of at least {value} bytes");
            }
        }

        return (int)value;
    }
}
