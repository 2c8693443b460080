using System.Buffers.Binary;
using System.Net;
using System.Runtime.CompilerServices;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Epoll;

/// <summary>A struct sockaddr_in or sockaddr_in6 as the kernel has written it; the end point is created on demand.</summary>
[InlineArray(SocketConstants.AddressSize)]
internal struct PeerAddress
{
    private byte _first;

    /// <summary>The address of an end point; empty for a family other than IP.</summary>
    public static PeerAddress From(EndPoint endPoint)
    {
        PeerAddress address = default;
        if (endPoint is IPEndPoint)
        {
            SocketAddress serialized = endPoint.Serialize();
            serialized.Buffer.Span[..Math.Min(serialized.Size, SocketConstants.AddressSize)].CopyTo(address);
        }

        return address;
    }

    /// <summary>The end point; null for another family.</summary>
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
