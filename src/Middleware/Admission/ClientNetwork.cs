using System.Buffers.Binary;
using System.Net;
using System.Runtime.InteropServices;
using ByteStreams.Transport.Addresses;

namespace ByteStreams.Admission;

/// <summary>The identity of a client for limits: its address without the bits that the client can choose.</summary>
internal readonly record struct ClientNetwork(UInt128 Bits, bool IsIPv4)
{
    /// <summary>
    /// The hash code of the 16 bytes as text: that is keyed for each process (Marvin), so that no client can choose addresses that
    /// collide. <see cref="UInt128"/>'s own folds each half into 32 bits before any key.
    /// </summary>
    public override int GetHashCode()
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, Bits);
        return string.GetHashCode(MemoryMarshal.Cast<byte, char>(bytes));
    }

    /// <summary>The network of an address; null where it has none.</summary>
    public static ClientNetwork? Of(EndPoint? endPoint, int v4Prefix, int v6Prefix)
    {
        if (endPoint is not IPEndPoint ip)
        {
            return null;
        }

        (UInt128 bits, bool isIPv4) = PlainAddress.Bits(ip.Address);
        return new(bits & PlainAddress.Mask(isIPv4 ? PlainAddress.MappedPrefix + v4Prefix : v6Prefix), isIPv4);
    }
}
