using System.Net;

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

        (UInt128 bits, bool isIPv4) = PlainAddress.Bits(ip.Address);
        return new(bits & PlainAddress.Mask(isIPv4 ? PlainAddress.MappedPrefix + v4Prefix : v6Prefix), isIPv4);
    }
}
