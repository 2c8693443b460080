using System.Buffers;

namespace ByteStreams.Streams;

/// <summary><see cref="Framing.Varint"/>.</summary>
internal sealed class VarintFraming(int maxLength, bool allowNonMinimal) : Framing(maxLength)
{
    // 64 bits in groups of 7; the tenth byte has one bit.
    private const int LongestVarint = 10;

    internal override FrameBounds Measure(in ReadOnlySequence<byte> buffer, ref long searched, ByteStreamReader reader)
    {
        ReadOnlySpan<byte> bytes = FirstBytes(buffer, stackalloc byte[LongestVarint]);

        ulong value = 0;
        for (int i = 0; i < bytes.Length; i++)
        {
            byte next = bytes[i];
            if (i == LongestVarint - 1 && next > 1)
            {
                throw Invalid(reader, "A varint length has more than 64 bits.");
            }

            value |= (ulong)(next & 0x7F) << (7 * i);
            if (next < 0x80)
            {
                return Found(buffer, value, i + 1, isMinimal: next > 0 || i == 0, reader);
            }
        }

        return default;
    }

    internal override FrameHead WriteHead(long length, Span<byte> head)
    {
        int count = 0;
        ulong rest = (ulong)length;
        for (; rest >= 0x80; rest >>= 7)
        {
            head[count++] = (byte)(rest | 0x80);
        }

        head[count++] = (byte)rest;
        return new FrameHead(count);
    }

    private FrameBounds Found(in ReadOnlySequence<byte> buffer, ulong value, int count, bool isMinimal, ByteStreamReader reader)
    {
        if (!isMinimal && !allowNonMinimal)
        {
            throw Invalid(reader, $"A varint length of {value} has {count} bytes, more than it needs.");
        }

        return value <= (ulong)MaxLength
            ? new FrameBounds(count + (long)value, count, (int)value)
            : throw TooLong(reader, buffer, $"A frame of {value} bytes");
    }
}
