using ByteStreams.Transport;

namespace ByteStreams.Hosting;

/// <summary>Endpoints of one host that dispute an address.</summary>
internal static class EndpointOverlaps
{
    /// <summary>Finds each endpoint that cannot be bound because another one of the same host has its address.</summary>
    /// <param name="addresses">The addresses of all endpoints.</param>
    /// <param name="errors">Gets one line for each such endpoint.</param>
    /// <returns>These endpoints.</returns>
    public static IReadOnlySet<EndpointPlan> Find(IReadOnlyList<(EndpointPlan Plan, ListenAddress Address)> addresses, ICollection<string> errors)
    {
        var disputed = new HashSet<EndpointPlan>(ReferenceEqualityComparer.Instance);
        for (int i = 0; i < addresses.Count; i++)
        {
            (EndpointPlan plan, ListenAddress address) = addresses[i];
            for (int j = 0; j < i; j++)
            {
                (EndpointPlan first, ListenAddress other) = addresses[j];
                if (!ReferenceEquals(plan, first) && address.Overlaps(other) && !(plan.Options.ReusePort && first.Options.ReusePort) && disputed.Add(plan))
                {
                    errors.Add(
                        $"{plan.Path}:{nameof(Configuration.EndpointSettings.Url)}: {plan.Url} is where the endpoint '{first.Name}' listens as well. "
                        + "Give each an address of its own.");
                    break;
                }
            }
        }

        return disputed;
    }
}
