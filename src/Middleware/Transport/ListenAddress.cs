using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Transport;

/// <summary>An address as the kernel binds it: what two listeners dispute.</summary>
/// <param name="EndPoint">The address and port, or the path.</param>
/// <param name="IsDualMode">Whether an IPv6 address that stands for all takes IPv4 as well.</param>
internal readonly record struct ListenAddress(EndPoint EndPoint, bool IsDualMode)
{
    /// <summary>The address as options bind it.</summary>
    /// <param name="endPoint">The address.</param>
    /// <param name="options">The listener's options.</param>
    /// <param name="ipv6Only">Leaves IPv4 alone on <c>[::]</c>, whatever the options say.</param>
    public static ListenAddress From(EndPoint endPoint, ByteStreamListenOptions options, bool ipv6Only) => new(
        endPoint,
        endPoint is IPEndPoint { AddressFamily: AddressFamily.InterNetworkV6 } ip && ip.Address.Equals(IPAddress.IPv6Any)
        && !ipv6Only && !options.IPv6Only && options.AddressFamily != AddressFamily.InterNetworkV6);

    /// <summary>Whether <c>0.0.0.0</c> is listened on as well, so that <c>[::]</c> leaves IPv4 to it: the two would dispute the port.</summary>
    public static bool IsBesideIPv4(EndPoint endPoint, IReadOnlyList<EndPoint> endPoints) =>
        endPoint is IPEndPoint ip && ip.Address.Equals(IPAddress.IPv6Any)
        && endPoints.Any(other => other is IPEndPoint all && all.Address.Equals(IPAddress.Any) && all.Port == ip.Port);

    /// <summary>Whether a client that reaches <paramref name="other"/> reaches this address too.</summary>
    public bool Covers(ListenAddress other)
    {
        if (EndPoint is not IPEndPoint all || other.EndPoint is not IPEndPoint one)
        {
            return EndPoint.Equals(other.EndPoint);
        }

        return all.Port == one.Port && all.Port != 0
            && (all.Address.Equals(IPAddress.IPv6Any) ? IsDualMode || (one.AddressFamily == AddressFamily.InterNetworkV6 && !other.IsDualMode)
                : all.Address.Equals(IPAddress.Any) ? one.AddressFamily == AddressFamily.InterNetwork
                : all.Address.Equals(one.Address));
    }

    /// <summary>Whether both cannot be bound, unless they share the port (SO_REUSEPORT).</summary>
    public bool Overlaps(ListenAddress other) => Covers(other) || other.Covers(this);
}
