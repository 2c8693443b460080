using System.Collections.Concurrent;
using System.Net;

namespace ByteStreams.Relay;

/// <summary>
/// Where the relays of this process listen, as far as their connections have shown it, and which upstreams lead back to one of them: each
/// connection to such an upstream would open the next one, until no descriptor is left. Thread-safe.
/// </summary>
internal static class RelayMap
{
    /// <summary>Where a machine takes connections to any address of a network, its clients choose the local address.</summary>
    private const int MostEndPoints = 4096;

    private static readonly ConcurrentDictionary<EndPoint, ByteStreamRelay> Listening = new();

    /// <summary>Notes that a relay has been connected to at an address.</summary>
    public static void Note(EndPoint endPoint, ByteStreamRelay relay)
    {
        if (!Listening.TryGetValue(endPoint, out ByteStreamRelay? known) ? Listening.Count < MostEndPoints : known != relay)
        {
            Listening[endPoint] = relay;
        }
    }

    public static void Forget(ByteStreamRelay relay)
    {
        foreach (KeyValuePair<EndPoint, ByteStreamRelay> entry in Listening.Where(entry => entry.Value == relay))
        {
            Listening.TryRemove(entry);
        }
    }

    /// <summary>Whether a relay listens at an address that is, or passes connections on to, another one.</summary>
    public static bool LeadsTo(EndPoint endPoint, ByteStreamRelay relay) => LeadsTo(endPoint, relay, []);

    private static bool LeadsTo(EndPoint endPoint, ByteStreamRelay relay, HashSet<ByteStreamRelay> seen)
    {
        if (!Listening.TryGetValue(LocalAddresses.Reached(endPoint), out ByteStreamRelay? next) || !seen.Add(next))
        {
            return false;
        }

        return next == relay || next.Upstreams.All.SelectMany(upstream => upstream.Known).Any(address => LeadsTo(address, relay, seen));
    }
}
