using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Transport.Addresses;

/// <summary>From the host as it is written to addresses.</summary>
internal static class HostAddresses
{
    /// <summary>The addresses to listen on (S8): duplicates dropped, all interfaces for an empty host.</summary>
    public static async Task<IReadOnlyList<EndPoint>> ForListeningAsync(
        IReadOnlyList<string> hosts, int port, ByteStreamListenOptions options, CancellationToken cancellationToken)
    {
        CheckPort(port);
        var endPoints = new List<EndPoint>();
        foreach (string? host in hosts)
        {
            foreach (IPAddress address in string.IsNullOrEmpty(host)
                ? Everywhere(options.AddressFamily)
                : await ResolveAsync(host, options.AddressFamily, cancellationToken).ConfigureAwait(false))
            {
                var endPoint = new IPEndPoint(address, port);
                if (!endPoints.Contains(endPoint))
                {
                    endPoints.Add(endPoint);
                }
            }
        }

        return endPoints.Count > 0 ? endPoints : throw new ArgumentException("At least one host is needed.", nameof(hosts));
    }

    /// <summary>The addresses to connect to, in the order of RFC 8305, 4: families alternate, beginning with the resolver's first.</summary>
    public static async Task<IReadOnlyList<IPAddress>> ForConnectingAsync(
        string host, AddressFamily family, CancellationToken cancellationToken) =>
        Interleave(await ResolveAsync(host, family, cancellationToken).ConfigureAwait(false));

    internal static IReadOnlyList<IPAddress> Interleave(IReadOnlyList<IPAddress> addresses)
    {
        if (addresses.Count == 0)
        {
            return addresses;
        }

        var first = addresses.Where(address => address.AddressFamily == addresses[0].AddressFamily).ToList();
        var second = addresses.Where(address => address.AddressFamily != addresses[0].AddressFamily).ToList();
        var ordered = new List<IPAddress>(addresses.Count);
        for (int i = 0; i < Math.Max(first.Count, second.Count); i++)
        {
            ordered.AddRange(first.Skip(i).Take(1));
            ordered.AddRange(second.Skip(i).Take(1));
        }

        return ordered;
    }

    internal static void CheckPort(int port)
    {
        if (port is < 0 or > 65535)
        {
            throw new ArgumentOutOfRangeException(
                nameof(port), port, string.Create(CultureInfo.InvariantCulture, $"A port is 0 to 65535, not {port}."));
        }
    }

    private static async Task<IReadOnlyList<IPAddress>> ResolveAsync(string host, AddressFamily family, CancellationToken cancellationToken)
    {
        if (IPAddress.TryParse(host, out IPAddress? literal))
        {
            literal = PlainAddress.From(literal);
            return family == AddressFamily.Unspecified || family == literal.AddressFamily
                ? [literal]
                : throw new IOException($"'{host}' is no address of the family {family}, to which the options restrict it.");
        }

        IPAddress[] addresses;
        try
        {
            addresses = await Dns.GetHostAddressesAsync(host, family, cancellationToken).ConfigureAwait(false);
        }
        catch (SocketException error)
        {
            throw new SocketException(
                (int)error.SocketErrorCode, $"The host '{host}' cannot be resolved: {error.Message}. Check the name, or use an address.");
        }

        return addresses.Length > 0 ? [.. addresses.Select(PlainAddress.From).Distinct()] : throw new IOException($"The host '{host}' has no address.");
    }

    /// <summary>One dual-mode listener where the system has IPv6, so that both families have the same port.</summary>
    private static IPAddress[] Everywhere(AddressFamily family) =>
        family == AddressFamily.InterNetwork || !Socket.OSSupportsIPv6 ? [IPAddress.Any] : [IPAddress.IPv6Any];
}
