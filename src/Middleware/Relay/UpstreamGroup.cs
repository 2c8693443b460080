using ByteStreams.Connections;

namespace ByteStreams.Relay;

/// <summary>Selects an upstream for each connection. Thread-safe.</summary>
/// <param name="upstreams">The upstreams.</param>
/// <param name="balancing">The load balancing policy.</param>
/// <param name="draw">Returns a random number below its argument; for tests.</param>
internal sealed class UpstreamGroup(IReadOnlyList<Upstream> upstreams, LoadBalancing balancing, Func<int, int>? draw = null) : IUpstreamReport
{
    private readonly Func<int, int> _draw = draw ?? Random.Shared.Next;
    private readonly Lock _gate = new();
    private int _last = -1;

    public IReadOnlyList<Upstream> All => upstreams;

    public IEnumerable<UpstreamSnapshot> Snapshots() =>
        upstreams.Select(static upstream => new UpstreamSnapshot(upstream.Name, upstream.Active, upstream.IsHealthy, upstream.IsEjected));

    /// <summary>Selects the next upstream to try, and counts its connection from now on.</summary>
    /// <param name="tried">The upstreams that have failed for this connection.</param>
    /// <returns>Null if all were tried.</returns>
    public Upstream? Choose(IReadOnlyCollection<Upstream> tried)
    {
        Upstream? chosen;
        if (upstreams.Count == 1)
        {
            chosen = tried.Count == 0 ? upstreams[0] : null;
        }
        else
        {
            List<Upstream> remaining = [.. upstreams.Where(upstream => !tried.Contains(upstream))];
            List<Upstream> available = remaining.FindAll(upstream => upstream.IsHealthy && !upstream.IsEjected);
            // If none is available, every one is tried: those with good health checks first.
            available = available.Count > 0 ? available : remaining.FindAll(upstream => upstream.IsHealthy) is { Count: > 0 } healthy ? healthy : remaining;
            chosen = available.Count == 0 ? null : Choose(available);
        }

        chosen?.Enter();
        return chosen;
    }

    private Upstream Choose(List<Upstream> candidates)
    {
        int next = NextIndex(candidates);
        switch (balancing)
        {
            case LoadBalancing.RoundRobin:
                return candidates[next];
            case LoadBalancing.PowerOfTwoChoices:
                int first = _draw(candidates.Count);
                int second = candidates.Count == 1 ? 0 : (first + 1 + _draw(candidates.Count - 1)) % candidates.Count;
                return candidates[second].Active < candidates[first].Active ? candidates[second] : candidates[first];
            default:
                Upstream least = candidates[next];
                for (int i = 1; i < candidates.Count; i++)
                {
                    Upstream other = candidates[(next + i) % candidates.Count];
                    if (other.Active < least.Active)
                    {
                        least = other;
                    }
                }

                return least;
        }
    }

    /// <summary>Returns the index of the first candidate after the last choice: the dispatch of an upstream that is no candidate goes to the next one.</summary>
    private int NextIndex(List<Upstream> candidates)
    {
        lock (_gate)
        {
            do
            {
                _last = (_last + 1) % upstreams.Count;
            }
            while (!candidates.Contains(upstreams[_last]));

            return candidates.IndexOf(upstreams[_last]);
        }
    }
}
