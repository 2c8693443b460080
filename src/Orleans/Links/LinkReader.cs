using System.Buffers.Binary;

namespace ByteStreams.Cluster.Links;

/// <summary>Decodes the entries of a batch.</summary>
/// <param name="content">The content of the batch.</param>
internal ref struct LinkReader(ReadOnlySpan<byte> content)
{
    private ReadOnlySpan<byte> _rest = content;

    public readonly bool IsAtEnd => _rest.IsEmpty;

    /// <exception cref="FormatException">The content ends within a field.</exception>
    public byte ReadByte() => Take(1)[0];

    /// <inheritdoc cref="ReadByte"/>
    public ulong ReadNumber() => BinaryPrimitives.ReadUInt64LittleEndian(Take(sizeof(ulong)));

    /// <summary>Reads a length-prefixed field.</summary>
    /// <inheritdoc cref="ReadByte"/>
    public ReadOnlySpan<byte> ReadBytes()
    {
        uint length = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte next = ReadByte();
            if (shift > 28 || (shift == 28 && next > 7))
            {
                throw new FormatException("A length in the batch exceeds 2,147,483,647.");
            }

            length |= (uint)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                return Take((int)length);
            }
        }
    }

    private ReadOnlySpan<byte> Take(int count)
    {
        if (count > _rest.Length)
        {
            throw new FormatException("The batch is truncated.");
        }

        ReadOnlySpan<byte> taken = _rest[..count];
        _rest = _rest[count..];
        return taken;
    }
}
