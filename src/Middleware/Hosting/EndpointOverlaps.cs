using ByteStreams.Transport;

namespace ByteStreams.Hosting;

/// <summary>Endpoints of one host with the same address.</summary>
internal static class EndpointOverlaps
{
    /// <summary>Finds the endpoints that cannot be bound because an earlier endpoint has the address.</summary>
    /// <param name="addresses">The addresses of all endpoints.</param>
    /// <param name="errors">Receives one line for each such endpoint.</param>
    /// <returns>These endpoints.</returns>
    public static IReadOnlySet<EndpointDefinition> Find(IReadOnlyList<(EndpointDefinition Definition, ListenAddress Address)> addresses, ICollection<string> errors)
    {
        var disputed = new HashSet<EndpointDefinition>(ReferenceEqualityComparer.Instance);
        for (int i = 0; i < addresses.Count; i++)
        {
            (EndpointDefinition definition, ListenAddress address) = addresses[i];
            for (int j = 0; j < i; j++)
            {
                (EndpointDefinition first, ListenAddress other) = addresses[j];
                if (!ReferenceEquals(definition, first) && address.Overlaps(other) && !(definition.Options.ReusePort && first.Options.ReusePort) && disputed.Add(definition))
                {
                    errors.Add(
                        $"{definition.Path}:{nameof(Configuration.EndpointSettings.Url)}: {definition.Url} is also the address of the endpoint '{first.Name}'. "
                        + "Give each endpoint its own address.");
                    break;
                }
            }
        }

        return disputed;
    }
}
