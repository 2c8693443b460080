using System.Buffers.Binary;
using System.Text.Unicode;

namespace ByteStreams.ProxyProtocol;

/// <summary>Reads and validates the TLVs of a version 2 header.</summary>
internal static class ProxyTlvReader
{
    private const int MaxUniqueIdLength = 128;

    /// <summary>Reads the TLVs of a complete header. CRC32C is verified and left out; NOOP is left out.</summary>
    /// <param name="all">The header.</param>
    /// <param name="offset">Where its TLVs begin.</param>
    /// <exception cref="ProxyHeaderException">A TLV is malformed, or the checksum is wrong.</exception>
    public static List<ProxyTlv> Read(ReadOnlySpan<byte> all, int offset)
    {
        var tlvs = new List<ProxyTlv>();
        bool hasChecksum = false;
        while (offset < all.Length)
        {
            if (all.Length - offset < 3)
            {
                throw new ProxyHeaderException("A TLV overruns the header.");
            }

            byte type = all[offset];
            int length = BinaryPrimitives.ReadUInt16BigEndian(all[(offset + 1)..]);
            offset += 3;
            if (length > all.Length - offset)
            {
                throw new ProxyHeaderException("A TLV overruns the header.");
            }

            ReadOnlySpan<byte> value = all.Slice(offset, length);
            if (type == ProxyTlv.Crc32C)
            {
                if (hasChecksum)
                {
                    throw new ProxyHeaderException("The header has two checksums.");
                }

                ThrowIfChecksumWrong(all, offset, length);
                hasChecksum = true;
            }
            else if (type != ProxyTlv.NoOperation)
            {
                ThrowIfInvalid(type, value);
                tlvs.Add(new ProxyTlv(type, value.ToArray()));
            }

            offset += length;
        }

        return tlvs;
    }

    private static void ThrowIfChecksumWrong(ReadOnlySpan<byte> all, int offset, int length)
    {
        if (length != 4)
        {
            throw new ProxyHeaderException("The checksum TLV is not four bytes long.");
        }

        if (ProxyHeaderFormat.Crc32C(all, offset) != BinaryPrimitives.ReadUInt32BigEndian(all[offset..]))
        {
            throw new ProxyHeaderException("The checksum is wrong.");
        }
    }

    private static void ThrowIfInvalid(byte type, ReadOnlySpan<byte> value)
    {
        switch (type)
        {
            case ProxyTlv.UniqueId when value.Length > MaxUniqueIdLength:
                throw new ProxyHeaderException($"The unique ID is longer than {MaxUniqueIdLength} bytes.");
            case ProxyTlv.Authority when !Utf8.IsValid(value):
                throw new ProxyHeaderException("The authority is not UTF-8.");
            case ProxyTlv.NetworkNamespace when value.IndexOfAnyExceptInRange((byte)0x20, (byte)0x7E) >= 0:
                throw new ProxyHeaderException("The network namespace is not ASCII.");
            case ProxyTlv.Ssl:
                ThrowIfSslInvalid(value);
                break;
        }
    }

    private static void ThrowIfSslInvalid(ReadOnlySpan<byte> value)
    {
        if (value.Length < ProxySsl.FixedLength)
        {
            throw new ProxyHeaderException("The SSL TLV is shorter than five bytes.");
        }

        ReadOnlySpan<byte> rest = value[ProxySsl.FixedLength..];
        while (!rest.IsEmpty)
        {
            if (rest.Length < 3 || BinaryPrimitives.ReadUInt16BigEndian(rest[1..]) > rest.Length - 3)
            {
                throw new ProxyHeaderException("A sub-TLV overruns the SSL TLV.");
            }

            rest = rest[(3 + BinaryPrimitives.ReadUInt16BigEndian(rest[1..]))..];
        }
    }
}
