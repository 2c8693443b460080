using System.Net;
using System.Net.Sockets;
using ByteStreams.Configuration;
using ByteStreams.Relay;
using ByteStreams.Transport;

namespace ByteStreams.Hosting;

/// <summary>Finds relays of one host that connect to themselves, directly or through other relays.</summary>
/// <param name="listening">The addresses of each endpoint.</param>
internal sealed class RelayLoops(IReadOnlyList<(EndpointDefinition Definition, ListenAddress Address)> listening)
{
    private readonly List<(EndpointDefinition From, int Index, EndpointDefinition To)> _hops = [];

    /// <summary>Finds the endpoints to which the upstreams of a relay lead.</summary>
    public async Task AddAsync(EndpointDefinition relay, CancellationToken cancellationToken)
    {
        IList<string> upstreams = relay.Relay!.Upstreams;
        for (int i = 0; i < upstreams.Count; i++)
        {
            foreach (EndPoint address in await AddressesAsync(upstreams[i], relay.Relay, cancellationToken).ConfigureAwait(false))
            {
                foreach (EndpointDefinition reached in listening.Where(other => Reaches(address, other.Address)).Select(other => other.Definition))
                {
                    _hops.Add((relay, i, reached));
                }
            }
        }
    }

    /// <summary>An error for each upstream that leads back to its relay; it begins with the key.</summary>
    public IEnumerable<string> Errors()
    {
        foreach ((EndpointDefinition from, int index, EndpointDefinition to) in _hops.DistinctBy(hop => (hop.From, hop.Index)))
        {
            if (Way(to, from, []) is List<string> way)
            {
                yield return $"{from.Path}:{nameof(EndpointSettings.Relay)}:{nameof(RelayOptions.Upstreams)}:{index}: '{from.Relay!.Upstreams[index]}' leads back to "
                    + $"the endpoint itself ({string.Join(" -> ", way.Prepend(from.Name))}): each connection would open another one, endlessly. Give the address of another service.";
            }
        }
    }

    /// <summary>The names on the way from one endpoint to another; null where there is none.</summary>
    private List<string>? Way(EndpointDefinition from, EndpointDefinition to, HashSet<EndpointDefinition> seen)
    {
        if (from == to)
        {
            return [from.Name];
        }

        if (!seen.Add(from))
        {
            return null;
        }

        foreach (EndpointDefinition next in _hops.Where(hop => hop.From == from).Select(hop => hop.To))
        {
            if (Way(next, to, seen) is List<string> rest)
            {
                return [from.Name, .. rest];
            }
        }

        return null;
    }

    private static async Task<IReadOnlyList<EndPoint>> AddressesAsync(string upstream, RelayOptions options, CancellationToken cancellationToken)
    {
        try
        {
            return await new Upstream(upstream, options, options.Connection.TimeProvider).GetAddressesAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception unresolved) when (unresolved is SocketException or IOException)
        {
            // An unknown host name is reported by the relay when it connects.
            return [];
        }
    }

    /// <summary>Whether an endpoint accepts connections to an address.</summary>
    private static bool Reaches(EndPoint address, ListenAddress listens)
    {
        if (LocalAddresses.GetReached(address) is not IPEndPoint target || listens.EndPoint is not IPEndPoint own)
        {
            return address.Equals(listens.EndPoint);
        }

        return own.Port == target.Port && own.Port != 0
            && (own.Address.Equals(target.Address) || (listens.Covers(new ListenAddress(target, IsDualMode: false)) && LocalAddresses.Contains(target)));
    }
}
