using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Transport.Addresses;

/// <summary>
/// The one form of an address that is compared, counted, connected to and shown: an IPv4-mapped IPv6 address (<c>::ffff:192.0.2.1</c>)
/// is the IPv4 address that it stands for.
/// </summary>
internal static class PlainAddress
{
    /// <summary>The length of the prefix <c>::ffff:0:0/96</c>, which all IPv4-mapped addresses share.</summary>
    public const int MappedPrefix = 96;

    /// <summary>The first IPv4-mapped address, <c>::ffff:0.0.0.0</c>.</summary>
    public static readonly UInt128 FirstMapped = new(0, 0xffff_0000_0000);

    public static IPAddress From(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    public static EndPoint? From(EndPoint? endPoint) =>
        endPoint is IPEndPoint { Address.IsIPv4MappedToIPv6: true } mapped ? new IPEndPoint(mapped.Address.MapToIPv4(), mapped.Port) : endPoint;

    /// <summary>The 128 bits of an address, an IPv4 one in its mapped form, and whether it is one.</summary>
    public static (UInt128 Bits, bool IsIPv4) Bits(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out _);
        if (address.AddressFamily == AddressFamily.InterNetwork)
        {
            return (FirstMapped | BinaryPrimitives.ReadUInt32BigEndian(bytes), true);
        }

        return (BinaryPrimitives.ReadUInt128BigEndian(bytes), address.IsIPv4MappedToIPv6);
    }

    /// <summary>The bits of a network of <paramref name="prefix"/> of 128 bits.</summary>
    public static UInt128 Mask(int prefix) => prefix == 0 ? UInt128.Zero : UInt128.MaxValue << (128 - prefix);
}
