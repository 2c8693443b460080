using System.Buffers;

namespace ByteStreams.Streams;

/// <summary><see cref="Framing.LengthPrefixed"/>.</summary>
internal sealed class LengthPrefixedFraming : Framing
{
    private readonly int _size;
    private readonly bool _isLittleEndian;
    private readonly int _offset;
    private readonly int _adjustment;
    private readonly int _strip;

    // The bytes before the frame's content: offset and field.
    private readonly int _header;

    public LengthPrefixedFraming(int size, Endianness endianness, int offset, int adjustment, int? strip, int maxLength)
        : base(maxLength)
    {
        if (size is not (1 or 2 or 3 or 4 or 8))
        {
            throw new ArgumentOutOfRangeException(nameof(size), size, "A length field has 1, 2, 3, 4 or 8 bytes.");
        }

        if (endianness is not (Endianness.BigEndian or Endianness.LittleEndian))
        {
            throw new ArgumentOutOfRangeException(nameof(endianness), endianness, "The byte order is big-endian or little-endian.");
        }

        if (offset < 0 || offset + size > LongestHead)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), offset, $"The length field begins at 0 or later and ends within {LongestHead} bytes.");
        }

        _size = size;
        _isLittleEndian = endianness == Endianness.LittleEndian;
        _offset = offset;
        _adjustment = adjustment;
        _header = offset + size;
        _strip = strip ?? _header;
        if (_strip != 0 && (_strip < _header || _strip > LongestHead))
        {
            throw new ArgumentOutOfRangeException(
                nameof(strip), strip, $"Strip nothing (0), or all through the length field ({_header}) and at most {LongestHead} bytes.");
        }
    }

    internal override FrameBounds Measure(in ReadOnlySequence<byte> buffer, ref long searched, ByteStreamReader reader)
    {
        if (buffer.Length < _header)
        {
            return default;
        }

        Span<byte> field = stackalloc byte[8];
        field = field[.._size];
        buffer.Slice(_offset, _size).CopyTo(field);
        ulong value = Decode(field);
        // The largest frame is far from the largest long: neither the comparison nor the sum overflows.
        long content = value > int.MaxValue ? int.MaxValue : (long)value;
        long total = _header + content + _adjustment;
        long length = total - _strip;
        if (value > int.MaxValue || length > MaxLength)
        {
            throw TooLong(reader, buffer, $"A frame with a length field of {value}");
        }

        if (total < _header || length < 0)
        {
            throw Invalid(reader, $"A length field of {value} gives a frame of {total} bytes, which is shorter than its header of {Math.Max(_header, _strip)}.");
        }

        return new FrameBounds(total, _strip, (int)length);
    }

    internal override FrameHead WriteHead(long length, Span<byte> head)
    {
        if (_strip == 0 && length < _header)
        {
            throw Unfit(
                $"A frame of {length} bytes was written; with strip 0 it begins with its header of {_header} bytes.");
        }

        long value = length + _strip - _header - _adjustment;
        if (value < 0 || (_size < 8 && value >> (8 * _size) != 0))
        {
            throw Unfit(
                $"A frame of {length} bytes has a length of {value}, which a field of {_size} bytes cannot have. Use a larger field.");
        }

        if (_strip == 0)
        {
            Encode((ulong)value, head[.._size]);
            return new FrameHead(_size, At: _offset, Replaced: _size);
        }

        head[.._strip].Clear();
        Encode((ulong)value, head.Slice(_offset, _size));
        return new FrameHead(_strip);
    }

    private ulong Decode(ReadOnlySpan<byte> field)
    {
        ulong value = 0;
        for (int i = 0; i < field.Length; i++)
        {
            value = (value << 8) | field[_isLittleEndian ? field.Length - 1 - i : i];
        }

        return value;
    }

    private void Encode(ulong value, Span<byte> field)
    {
        for (int i = 0; i < field.Length; i++)
        {
            field[_isLittleEndian ? i : field.Length - 1 - i] = (byte)(value >> (8 * i));
        }
    }
}
