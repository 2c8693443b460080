using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Transport;

/// <summary>An address as the kernel binds it, for the comparison of listeners.</summary>
/// <param name="EndPoint">The address and port, or the path.</param>
/// <param name="IsDualMode">Whether <c>[::]</c> accepts IPv4 too.</param>
internal readonly record struct ListenAddress(EndPoint EndPoint, bool IsDualMode)
{
    /// <summary>The address with the options' mode.</summary>
    /// <param name="endPoint">The address.</param>
    /// <param name="options">The listener's options.</param>
    /// <param name="ipv6Only">Restricts <c>[::]</c> to IPv6, regardless of the options.</param>
    public static ListenAddress From(EndPoint endPoint, ByteStreamListenOptions options, bool ipv6Only) => new(
        endPoint,
        endPoint is IPEndPoint { AddressFamily: AddressFamily.InterNetworkV6 } ip && ip.Address.Equals(IPAddress.IPv6Any)
        && !ipv6Only && !options.IPv6Only && options.AddressFamily != AddressFamily.InterNetworkV6);

    /// <summary>Whether <c>0.0.0.0</c> is in the list as well, so that <c>[::]</c> leaves IPv4 to it: the port would be in use.</summary>
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

    /// <summary>Whether the two addresses can be bound only with a shared port (SO_REUSEPORT).</summary>
    public bool Overlaps(ListenAddress other) => Covers(other) || other.Covers(this);
}
