using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Admission;

/// <summary>A client for counting: its address without the bits that it can choose itself.</summary>
internal readonly record struct ClientNetwork(UInt128 Bits, bool IsIPv4)
{
    /// <summary>The network of an address; null where it has none.</summary>
    public static ClientNetwork? Of(EndPoint? endPoint, int v4Prefix, int v6Prefix)
    {
        if (endPoint is not IPEndPoint ip)
        {
            return null;
        }

        Span<byte> bytes = stackalloc byte[16];
        IPAddress address = ip.Address;
        if (address.AddressFamily == AddressFamily.InterNetwork || address.IsIPv4MappedToIPv6)
        {
            address.MapToIPv6().TryWriteBytes(bytes, out _);
            return new(Mask(BinaryPrimitives.ReadUInt128BigEndian(bytes), 96 + v4Prefix), IsIPv4: true);
        }

        address.TryWriteBytes(bytes, out _);
        return new(Mask(BinaryPrimitives.ReadUInt128BigEndian(bytes), v6Prefix), IsIPv4: false);
    }

    private static UInt128 Mask(UInt128 bits, int prefix) => prefix == 0 ? UInt128.Zero : bits & (UInt128.MaxValue << (128 - prefix));
}
