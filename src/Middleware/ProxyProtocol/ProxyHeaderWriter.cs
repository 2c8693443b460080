using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using ByteStreams.Transport.Addresses;

namespace ByteStreams.ProxyProtocol;

/// <summary>Writes a PROXY header, of either version.</summary>
internal static class ProxyHeaderWriter
{
    private const int UnixPathLength = 108;
    private const byte Local = 0x20;
    private const byte Proxy = 0x21;
    private const byte Stream = 0x01;

    public static void Write(ProxyHeader header, IBufferWriter<byte> output, bool withChecksum)
    {
        if (header.Version == 1)
        {
            WriteLine(header, output);
        }
        else
        {
            WriteBinary(header, output, withChecksum);
        }
    }

    private static void WriteLine(ProxyHeader header, IBufferWriter<byte> output)
    {
        string line = "PROXY UNKNOWN\r\n";
        if (!header.IsLocal && TryPair(header, out IPEndPoint? source, out IPEndPoint? destination))
        {
            string family = source.AddressFamily == AddressFamily.InterNetwork ? "TCP4" : "TCP6";
            line = string.Create(
                System.Globalization.CultureInfo.InvariantCulture,
                $"PROXY {family} {WithoutScope(source)} {WithoutScope(destination)} {source.Port} {destination.Port}\r\n");
        }

        Span<byte> room = output.GetSpan(ProxyHeaderReader.LongestLine);
        output.Advance(Encoding.ASCII.GetBytes(line, room));
    }

    private static void WriteBinary(ProxyHeader header, IBufferWriter<byte> output, bool withChecksum)
    {
        byte[] addresses = [];
        byte family = 0;
        if (!header.IsLocal)
        {
            if (TryPair(header, out IPEndPoint? source, out IPEndPoint? destination))
            {
                bool isV4 = source.AddressFamily == AddressFamily.InterNetwork;
                family = (byte)((isV4 ? 0x10 : 0x20) | Stream);
                addresses = Addresses(source, destination);
            }
            else if (header.Source is UnixDomainSocketEndPoint || header.Destination is UnixDomainSocketEndPoint)
            {
                family = 0x30 | Stream;
                addresses = [.. Path(header.Source), .. Path(header.Destination)];
            }
        }

        // Behind unknown addresses nothing would be read.
        bool hasTlvs = family != 0;
        int sum = hasTlvs && withChecksum ? 7 : 0;
        long length = addresses.Length + sum + (hasTlvs ? header.Tlvs.Sum(tlv => 3L + tlv.Value.Length) : 0);
        if (length > ushort.MaxValue)
        {
            throw new InvalidOperationException($"The additions make the PROXY header {length} bytes long; it can be {ushort.MaxValue}. Leave some out.");
        }

        int whole = ProxyHeaderReader.FixedLength + (int)length;
        Span<byte> room = output.GetSpan(whole)[..whole];
        ProxyHeaderReader.Signature.CopyTo(room);
        room[12] = header.IsLocal ? Local : Proxy;
        room[13] = family;
        BinaryPrimitives.WriteUInt16BigEndian(room[14..], (ushort)length);
        addresses.CopyTo(room[ProxyHeaderReader.FixedLength..]);
        int offset = ProxyHeaderReader.FixedLength + addresses.Length;
        if (hasTlvs)
        {
            foreach (ProxyTlv tlv in header.Tlvs)
            {
                room[offset] = tlv.Type;
                BinaryPrimitives.WriteUInt16BigEndian(room[(offset + 1)..], (ushort)tlv.Value.Length);
                tlv.Value.Span.CopyTo(room[(offset + 3)..]);
                offset += 3 + tlv.Value.Length;
            }
        }

        if (sum > 0)
        {
            room[offset] = ProxyTlv.Crc32C;
            BinaryPrimitives.WriteUInt16BigEndian(room[(offset + 1)..], 4);
            uint crc = ProxyHeaderReader.Crc32C(room, offset + 3);
            BinaryPrimitives.WriteUInt32BigEndian(room[(offset + 3)..], crc);
        }

        output.Advance(whole);
    }

    /// <summary>Both addresses in one family: IPv6 where only one is IPv4.</summary>
    private static bool TryPair(
        ProxyHeader header,
        [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out IPEndPoint? source,
        [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out IPEndPoint? destination)
    {
        source = PlainAddress.From(header.Source) as IPEndPoint;
        destination = PlainAddress.From(header.Destination) as IPEndPoint;
        if (source is null || destination is null)
        {
            return false;
        }

        if (source.AddressFamily != destination.AddressFamily)
        {
            source = new IPEndPoint(source.Address.MapToIPv6(), source.Port);
            destination = new IPEndPoint(destination.Address.MapToIPv6(), destination.Port);
        }

        return true;
    }

    private static IPAddress WithoutScope(IPEndPoint endPoint) =>
        endPoint.AddressFamily == AddressFamily.InterNetworkV6 ? new IPAddress(endPoint.Address.GetAddressBytes()) : endPoint.Address;

    private static byte[] Addresses(IPEndPoint source, IPEndPoint destination)
    {
        byte[] ports = new byte[4];
        BinaryPrimitives.WriteUInt16BigEndian(ports, (ushort)source.Port);
        BinaryPrimitives.WriteUInt16BigEndian(ports.AsSpan(2), (ushort)destination.Port);
        return [.. source.Address.GetAddressBytes(), .. destination.Address.GetAddressBytes(), .. ports];
    }

    private static byte[] Path(EndPoint? endPoint)
    {
        byte[] padded = new byte[UnixPathLength];
        if (endPoint is UnixDomainSocketEndPoint)
        {
            // The system's own form: its bytes behind the family, an abstract name with its NUL.
            SocketAddress address = endPoint.Serialize();
            for (int i = 2; i < Math.Min(address.Size, UnixPathLength + 2); i++)
            {
                padded[i - 2] = address[i];
            }
        }

        return padded;
    }
}
