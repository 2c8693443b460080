using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace ByteStreams.Relay;

/// <summary>The addresses of this machine. Thread-safe.</summary>
internal static class LocalAddresses
{
    /// <summary>How long the list is used: an address may move to another machine, as that of a failover pair does.</summary>
    private static readonly TimeSpan Validity = TimeSpan.FromSeconds(30);

    private static (HashSet<IPAddress> Addresses, long ReadAt)? _known;
    private static readonly Lock Gate = new();

    /// <summary>Whether a connection to an endpoint stays on this machine, as far as its addresses tell.</summary>
    public static bool Contains(EndPoint endPoint) => endPoint is UnixDomainSocketEndPoint || (endPoint is IPEndPoint ip && Contains(ip.Address));

    public static bool Contains(IPAddress address) => IPAddress.IsLoopback(address) || IsAny(address) || All().Contains(address);

    /// <summary>The endpoint that a connection reaches: on Linux the unspecified address is the loopback address.</summary>
    public static EndPoint Reached(EndPoint endPoint) => endPoint is not IPEndPoint ip || !IsAny(ip.Address) ? endPoint
        : new IPEndPoint(ip.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Loopback : IPAddress.IPv6Loopback, ip.Port);

    private static bool IsAny(IPAddress address) => address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);

    private static HashSet<IPAddress> All()
    {
        lock (Gate)
        {
            long now = Environment.TickCount64;
            if (_known is not (HashSet<IPAddress> addresses, long readAt) || now - readAt > Validity.TotalMilliseconds)
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
