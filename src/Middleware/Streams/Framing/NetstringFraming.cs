using System.Buffers;
using System.Buffers.Text;

namespace ByteStreams.Streams;

/// <summary><see cref="Framing.Netstring"/>.</summary>
internal sealed class NetstringFraming(int maxLength) : Framing(maxLength)
{
    // Digits of int.MaxValue, and the colon.
    private const int LongestPrefix = 11;

    internal override ReadOnlySpan<byte> Tail => ","u8;

    internal override FrameBounds Measure(in ReadOnlySequence<byte> buffer, ref long searched, ByteStreamReader reader)
    {
        ReadOnlySpan<byte> bytes = FirstBytes(buffer, stackalloc byte[LongestPrefix]);

        // The maximum is exceeded before the value overflows.
        long value = 0;
        for (int i = 0; i < bytes.Length; i++)
        {
            byte next = bytes[i];
            if (next == ':' && i > 0)
            {
                return new FrameBounds(i + 1 + value + 1, i + 1, (int)value);
            }

            if (!char.IsAsciiDigit((char)next))
            {
                throw Invalid(reader, $"A netstring's length has the byte 0x{next:X2} where a digit{(i > 0 ? " or a colon" : "")} belongs.");
            }

            if (i == 1 && value == 0)
            {
                throw Invalid(reader, "A netstring's length has a leading zero.");
            }

            value = (10 * value) + (next - '0');
            if (value > MaxLength)
            {
                throw TooLong(reader, buffer, $"A netstring of at least {value} bytes");
            }
        }

        return default;
    }

    internal override void CheckTail(in ReadOnlySequence<byte> buffer, in FrameBounds bounds, ByteStreamReader reader)
    {
        byte last = buffer.Slice(bounds.Total - 1).FirstSpan[0];
        if (last != ',')
        {
            throw Invalid(reader, $"A netstring of {bounds.Length} bytes ends with the byte 0x{last:X2} where a comma belongs.");
        }
    }

    internal override FrameHead WriteHead(long length, Span<byte> head)
    {
        Utf8Formatter.TryFormat(length, head, out int count);
        head[count] = (byte)':';
        return new FrameHead(count + 1);
    }
}
