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

    /// <summary>Which texts are no networks.</summary>
    /// <param name="texts">The networks.</param>
    /// <param name="key">The option, for the messages.</param>
    public static IEnumerable<string> Mistakes(IEnumerable<string> texts, string key) =>
        from text in texts
        where !IsUnix(text) && !TryParse(text, out _)
        select $"{key}: '{text}' is no network. Write 10.0.0.0/8, 2001:db8::/32, one address, or unix.";

    /// <summary>Reads a list.</summary>
    /// <exception cref="FormatException">There are <see cref="Mistakes"/> in it.</exception>
    public static NetworkList Parse(IEnumerable<string> texts)
    {
        IPNetwork[] networks = [.. texts.Where(text => !IsUnix(text)).Select(text => TryParse(text, out IPNetwork network) ? network : throw new FormatException(text))];
        return new NetworkList(networks, texts.Any(IsUnix));
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

    private static bool IsUnix(string text) => string.Equals(text, Unix, StringComparison.OrdinalIgnoreCase);

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
