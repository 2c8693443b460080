using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Admission;

/// <summary>Networks as they are written in options: <c>10.0.0.0/8</c>, <c>2001:db8::/32</c>, one address, or <c>unix</c>.</summary>
internal sealed class NetworkList
{
    private const string Unix = "unix";

    private readonly IPNetwork[] _networks;
    private readonly bool _unix;

    private NetworkList(IPNetwork[] networks, bool unix)
    {
        _networks = networks;
        _unix = unix;
    }

    public bool IsEmpty => _networks.Length == 0 && !_unix;

    /// <summary>Reads a list.</summary>
    /// <param name="texts">The networks.</param>
    /// <param name="key">The option, for the message.</param>
    /// <exception cref="ArgumentException">One is no network.</exception>
    public static NetworkList Parse(IEnumerable<string> texts, string key)
    {
        var networks = new List<IPNetwork>();
        bool unix = false;
        foreach (string text in texts)
        {
            if (string.Equals(text, Unix, StringComparison.OrdinalIgnoreCase))
            {
                unix = true;
            }
            else if (TryParse(text, out IPNetwork network))
            {
                networks.Add(network);
            }
            else
            {
                throw new ArgumentException($"{key}: '{text}' is no network. Write 10.0.0.0/8, 2001:db8::/32, one address, or unix.");
            }
        }

        return new NetworkList([.. networks], unix);
    }

    /// <summary>Whether an address lies in one of the networks; an IPv4 address also where the socket shows it as a mapped IPv6 one.</summary>
    public bool Contains(EndPoint? endPoint)
    {
        switch (endPoint)
        {
            case IPEndPoint ip:
                IPAddress address = ip.Address.IsIPv4MappedToIPv6 ? ip.Address.MapToIPv4() : ip.Address;
                foreach (IPNetwork network in _networks)
                {
                    if (network.Contains(address))
                    {
                        return true;
                    }
                }

                return false;
            case UnixDomainSocketEndPoint or null:
                // Most Unix clients have no name.
                return _unix;
            default:
                return false;
        }
    }

    private static bool TryParse(string text, out IPNetwork network)
    {
        if (text.Contains('/', StringComparison.Ordinal))
        {
            return IPNetwork.TryParse(text, out network);
        }

        bool isAddress = IPAddress.TryParse(text, out IPAddress? address);
        network = isAddress ? new IPNetwork(address!, address!.AddressFamily == AddressFamily.InterNetwork ? 32 : 128) : default;
        return isAddress;
    }
}
