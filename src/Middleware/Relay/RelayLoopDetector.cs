using System.Collections.Concurrent;
using System.Net;

namespace ByteStreams.Relay;

/// <summary>
/// The addresses at which relays of this process listen, as far as their connections have shown, and whether an upstream leads back to one of
/// them. Each connection to such an upstream would open the next one until no descriptor is left. Thread-safe.
/// </summary>
internal static class RelayLoopDetector
{
    /// <summary>Bounds the addresses, because clients choose the local address of a listener on a whole network (IP_FREEBIND, AnyIP).</summary>
    private const int MaxEndPoints = 4096;

    private static readonly ConcurrentDictionary<EndPoint, UpstreamGroup> Listening = new();

    /// <summary>Records that a relay accepted a connection at an address.</summary>
    public static void Add(EndPoint endPoint, UpstreamGroup upstreams)
    {
        if (!Listening.TryGetValue(endPoint, out UpstreamGroup? known) ? Listening.Count < MaxEndPoints : known != upstreams)
        {
            Listening[endPoint] = upstreams;
        }
    }

    public static void Remove(UpstreamGroup upstreams)
    {
        foreach (KeyValuePair<EndPoint, UpstreamGroup> entry in Listening.Where(entry => entry.Value == upstreams))
        {
            Listening.TryRemove(entry);
        }
    }

    /// <summary>Returns whether an address is that of a relay, or of relays that forward to it.</summary>
    public static bool LeadsTo(EndPoint endPoint, UpstreamGroup upstreams) => LeadsTo(endPoint, upstreams, []);

    private static bool LeadsTo(EndPoint endPoint, UpstreamGroup upstreams, HashSet<UpstreamGroup> visited)
    {
        if (!Listening.TryGetValue(LocalAddresses.GetReached(endPoint), out UpstreamGroup? next) || !visited.Add(next))
        {
            return false;
        }

        return next == upstreams || next.All.SelectMany(upstream => upstream.KnownAddresses).Any(address => LeadsTo(address, upstreams, visited));
    }
}
