using System.Net;
using System.Net.Sockets;
using ByteStreams.Configuration;
using ByteStreams.Relay;
using ByteStreams.Transport;

namespace ByteStreams.Hosting;

/// <summary>Finds relays that pass connections on to themselves, as far as the configuration of one host shows it.</summary>
/// <param name="listening">Where each endpoint listens.</param>
internal sealed class RelayLoops(IReadOnlyList<(EndpointPlan Plan, ListenAddress Address)> listening)
{
    private readonly List<(EndpointPlan From, int Index, EndpointPlan To)> _hops = [];

    /// <summary>Finds the endpoints to which the upstreams of a relay lead.</summary>
    public async Task AddAsync(EndpointPlan relay, CancellationToken cancellationToken)
    {
        IList<string> upstreams = relay.Relay!.Upstreams;
        for (int i = 0; i < upstreams.Count; i++)
        {
            foreach (EndPoint address in await AddressesAsync(upstreams[i], relay.Relay, cancellationToken).ConfigureAwait(false))
            {
                foreach (EndpointPlan reached in listening.Where(other => Reaches(address, other.Address)).Select(other => other.Plan))
                {
                    _hops.Add((relay, i, reached));
                }
            }
        }
    }

    /// <summary>An error for each upstream that leads back to its relay; it begins with the key.</summary>
    public IEnumerable<string> Errors()
    {
        foreach ((EndpointPlan from, int index, EndpointPlan to) in _hops.DistinctBy(hop => (hop.From, hop.Index)))
        {
            if (Way(to, from, []) is List<string> way)
            {
                yield return $"{from.Path}:{nameof(EndpointSettings.Relay)}:{nameof(RelayOptions.Upstreams)}:{index}: '{from.Relay!.Upstreams[index]}' leads back to "
                    + $"the endpoint itself ({string.Join(" -> ", way.Prepend(from.Name))}): each connection would open another one without end. Give the address of another service.";
            }
        }
    }

    /// <summary>The names on the way from one endpoint to another; null where there is none.</summary>
    private List<string>? Way(EndpointPlan from, EndpointPlan to, HashSet<EndpointPlan> seen)
    {
        if (from == to)
        {
            return [from.Name];
        }

        if (!seen.Add(from))
        {
            return null;
        }

        foreach (EndpointPlan next in _hops.Where(hop => hop.From == from).Select(hop => hop.To))
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
            // A name that cannot be resolved here leads nowhere; the relay reports it when it connects.
            return [];
        }
    }

    /// <summary>Whether a connection to an address is taken by an endpoint.</summary>
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
