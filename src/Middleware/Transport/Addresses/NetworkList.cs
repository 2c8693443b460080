using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Transport.Addresses;

/// <summary>
/// Networks as they are written in options: <c>10.0.0.0/8</c>, <c>2001:db8::/32</c>, one address, or <c>unix</c>. A network of IPv4-mapped
/// addresses, such as <c>::ffff:10.0.0.0/104</c>, is the IPv4 network.
/// </summary>
internal sealed class NetworkList
{
    private const string Unix = "unix";

    private readonly Network[] _networks;
    private readonly bool _unix;

    private NetworkList(Network[] networks, bool unix)
    {
        _networks = networks;
        _unix = unix;
    }

    public bool IsEmpty => _networks.Length == 0 && !_unix;

    /// <summary>Which texts are no networks.</summary>
    /// <param name="texts">The networks.</param>
    /// <param name="key">The option, for the messages.</param>
    public static IEnumerable<string> GetErrors(IEnumerable<string> texts, string key) =>
        from text in texts
        where !IsUnix(text)
        let error = TryParse(text, out _)
        where error is not null
        select $"{key}: '{text}' {error}";

    /// <summary>Reads a list.</summary>
    /// <exception cref="FormatException">There are <see cref="GetErrors"/> in it.</exception>
    public static NetworkList Parse(IEnumerable<string> texts)
    {
        Network[] networks = [.. texts.Where(text => !IsUnix(text)).Select(text => TryParse(text, out Network network) is null ? network : throw new FormatException(text))];
        return new NetworkList(networks, texts.Any(IsUnix));
    }

    /// <summary>Whether an address lies in one of the networks; an IPv4 address also where the socket shows it as a mapped IPv6 one.</summary>
    public bool Contains(EndPoint? endPoint)
    {
        switch (endPoint)
        {
            case IPEndPoint ip:
                (UInt128 bits, bool isIPv4) = PlainAddress.Bits(ip.Address);
                foreach (Network network in _networks)
                {
                    if (network.IsIPv4 == isIPv4 && (bits & network.Mask) == network.Bits)
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

    /// <returns>Why the text is no network, and what to write; null where it is one.</returns>
    private static string? TryParse(string text, out Network network)
    {
        const string NoNetwork = "is no network. Write 10.0.0.0/8, 2001:db8::/32, one address, or unix.";
        network = default;
        int slash = text.IndexOf('/', StringComparison.Ordinal);
        string written = slash < 0 ? text : text[..slash];
        // The parser takes 010.0.0.1 for 8.0.0.1, and 10.1 for 10.0.0.1: neither is what an administrator means to deny.
        if (written.StartsWith('[')
            || !IPAddress.TryParse(written, out IPAddress? address)
            || (address.AddressFamily == AddressFamily.InterNetwork && !string.Equals(address.ToString(), written, StringComparison.Ordinal)))
        {
            return NoNetwork;
        }

        bool isIPv4 = address.AddressFamily == AddressFamily.InterNetwork;
        int most = isIPv4 ? 32 : 128;
        int prefix = most;
        if (slash >= 0 && (!int.TryParse(text.AsSpan(slash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out prefix) || prefix > most))
        {
            return NoNetwork;
        }

        UInt128 mask = PlainAddress.Mask(isIPv4 ? PlainAddress.MappedPrefix + prefix : prefix);
        UInt128 bits = PlainAddress.Bits(address).Bits & mask;
        bool isWithinMapped = prefix >= PlainAddress.MappedPrefix && address.IsIPv4MappedToIPv6;
        // ::/0 is IPv6 as a whole, as it is in routing tables and firewalls, and has no IPv4 address.
        if (!isIPv4 && !isWithinMapped && prefix > 0 && (PlainAddress.FirstMapped & mask) == bits)
        {
            return "contains the IPv4-mapped addresses and more. Write 0.0.0.0/0 for IPv4, ::/0 for IPv6, or a prefix length of at least 96.";
        }

        network = new Network(bits, mask, isIPv4 || isWithinMapped);
        return null;
    }

    private readonly record struct Network(UInt128 Bits, UInt128 Mask, bool IsIPv4);
}
