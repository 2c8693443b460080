using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace ByteStreams.Relay;

/// <summary>The local addresses of this machine. Thread-safe.</summary>
internal static class LocalAddresses
{
    /// <summary>The lifetime of the cached list, because an address may move to another machine (failover pairs).</summary>
    private static readonly TimeSpan CacheLifetime = TimeSpan.FromSeconds(30);

    private static readonly Lock Gate = new();
    private static (HashSet<IPAddress> Addresses, long ReadAt)? _known;

    /// <summary>Returns whether an endpoint is on this machine, judged by its address.</summary>
    public static bool Contains(EndPoint endPoint) => endPoint is UnixDomainSocketEndPoint || (endPoint is IPEndPoint ip && Contains(ip.Address));

    public static bool Contains(IPAddress address) => IPAddress.IsLoopback(address) || IsAny(address) || IsAssigned(address);

    /// <summary>Returns the endpoint that a connection reaches: on Linux the unspecified address is the loopback address.</summary>
    public static EndPoint GetReached(EndPoint endPoint) => endPoint is not IPEndPoint ip || !IsAny(ip.Address) ? endPoint
        : new IPEndPoint(ip.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Loopback : IPAddress.IPv6Loopback, ip.Port);

    private static bool IsAny(IPAddress address) => address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);

    private static bool IsAssigned(IPAddress address)
    {
        try
        {
            return GetAll().Contains(address);
        }
        catch (NetworkInformationException)
        {
            // The system's list needs netlink, which a sandbox may forbid (systemd: RestrictAddressFamilies without AF_NETLINK).
            return CanBind(address);
        }
    }

    /// <summary>Whether a socket can have the address. No byte is sent.</summary>
    internal static bool CanBind(IPAddress address)
    {
        using var socket = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            socket.Bind(new IPEndPoint(address, 0));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static HashSet<IPAddress> GetAll()
    {
        lock (Gate)
        {
            long now = Environment.TickCount64;
            if (_known is not (HashSet<IPAddress> addresses, long readAt) || now - readAt > CacheLifetime.TotalMilliseconds)
            {
                addresses = [.. NetworkInterface.GetAllNetworkInterfaces()
                    .SelectMany(network => network.GetIPProperties().UnicastAddresses)
                    .Select(unicast => unicast.Address)];
                _known = (addresses, now);
            }

            return addresses;
        }
    }
}
