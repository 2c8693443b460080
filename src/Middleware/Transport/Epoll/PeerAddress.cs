using System.Buffers.Binary;
using System.Net;
using System.Runtime.CompilerServices;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Epoll;

/// <summary>A struct sockaddr_in or sockaddr_in6 as the kernel gave it: an end point is made of it only for those who ask.</summary>
[InlineArray(SocketConstants.AddressSize)]
internal struct PeerAddress
{
    private byte _first;

    /// <summary>The address of an end point; empty for every other family than IP's.</summary>
    public static PeerAddress Of(EndPoint endPoint)
    {
        PeerAddress address = default;
        if (endPoint is IPEndPoint)
        {
            SocketAddress serialized = endPoint.Serialize();
            serialized.Buffer.Span[..Math.Min(serialized.Size, SocketConstants.AddressSize)].CopyTo(address);
        }

        return address;
    }

    /// <summary>The end point; null for every other family.</summary>
    public static IPEndPoint? ToEndPoint(ReadOnlySpan<byte> address)
    {
        const ushort inet = 2;
        const ushort inet6 = 10;
        int port = BinaryPrimitives.ReadUInt16BigEndian(address[2..]);
        return BitConverter.ToUInt16(address) switch
        {
            inet => new IPEndPoint(new IPAddress(address.Slice(4, 4)), port),
            inet6 => new IPEndPoint(new IPAddress(address.Slice(8, 16), BitConverter.ToUInt32(address[24..])), port),
            _ => null,
        };
    }
}
