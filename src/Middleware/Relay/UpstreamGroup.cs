using ByteStreams.Connections;

namespace ByteStreams.Relay;

/// <summary>Chooses among upstreams. Thread-safe.</summary>
/// <param name="upstreams">All of them.</param>
/// <param name="balancing">How.</param>
/// <param name="draw">A random number below another; for tests.</param>
internal sealed class UpstreamGroup(IReadOnlyList<Upstream> upstreams, LoadBalancing balancing, Func<int, int>? draw = null) : IUpstreamReport
{
    private readonly Func<int, int> _draw = draw ?? Random.Shared.Next;
    private readonly Lock _gate = new();
    private int _turn = -1;

    public IReadOnlyList<Upstream> All => upstreams;

    public IEnumerable<UpstreamSnapshot> Snapshots() =>
        upstreams.Select(static upstream => new UpstreamSnapshot(upstream.Name, upstream.Active, upstream.IsHealthy, upstream.IsEjected));

    /// <summary>The next one to try; its connections are counted from now on.</summary>
    /// <param name="tried">Those that have failed for this connection.</param>
    /// <returns>Null where all have been tried.</returns>
    public Upstream? Choose(IReadOnlyCollection<Upstream> tried)
    {
        Upstream? chosen;
        if (upstreams.Count == 1)
        {
            chosen = tried.Count == 0 ? upstreams[0] : null;
        }
        else
        {
            List<Upstream> left = [.. upstreams.Where(upstream => !tried.Contains(upstream))];
            List<Upstream> good = left.FindAll(upstream => upstream.IsHealthy && !upstream.IsEjected);
            // Where none is good any of them is worth a try, those that checks call healthy first.
            good = good.Count > 0 ? good : left.FindAll(upstream => upstream.IsHealthy) is { Count: > 0 } healthy ? healthy : left;
            chosen = good.Count == 0 ? null : Choose(good);
        }

        chosen?.Enter();
        return chosen;
    }

    private Upstream Choose(List<Upstream> among)
    {
        int turn = Turn(among);
        switch (balancing)
        {
            case LoadBalancing.RoundRobin:
                return among[turn];
            case LoadBalancing.RandomOfTwo:
                int first = _draw(among.Count);
                int second = among.Count == 1 ? 0 : (first + 1 + _draw(among.Count - 1)) % among.Count;
                return among[second].Active < among[first].Active ? among[second] : among[first];
            default:
                Upstream least = among[turn];
                for (int i = 1; i < among.Count; i++)
                {
                    Upstream other = among[(turn + i) % among.Count];
                    if (other.Active < least.Active)
                    {
                        least = other;
                    }
                }

                return least;
        }
    }

    /// <summary>The place of the first one behind the last turn's, so that who fails or is out leaves its turn to the next.</summary>
    private int Turn(List<Upstream> among)
    {
        lock (_gate)
        {
            do
            {
                _turn = (_turn + 1) % upstreams.Count;
            }
            while (!among.Contains(upstreams[_turn]));

            return among.IndexOf(upstreams[_turn]);
        }
    }
}
