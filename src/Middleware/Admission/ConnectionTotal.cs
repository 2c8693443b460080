using ByteStreams.Transport;

namespace ByteStreams.Admission;

/// <summary>The permits of all endpoints together.</summary>
internal sealed class ConnectionTotal
{
    private int? _share;

    /// <param name="most">The limit; null derives it from the descriptors and the memory of the process, zero is no limit.</param>
    public ConnectionTotal(int? most)
    {
        Most = most ?? Capacity.Derive(relays: false);
        // Waiting connections are bounded by each endpoint's own queue.
        Permits = new PermitLimiter(OrAny(Most));
    }

    public PermitLimiter Permits { get; }

    /// <summary>This host's share of the cluster-wide connection limit; null without one. The smaller of the two limits applies.</summary>
    public int? Share
    {
        get => _share;
        set
        {
            lock (Permits)
            {
                _share = value;
                Apply();
            }
        }
    }

    /// <summary>The limit of all endpoints together; zero for none.</summary>
    public int Most { get; private set; }

    /// <summary>What the limit is derived from.</summary>
    public ConnectionCapacity Capacity { get; private set; } = ConnectionCapacity.Measure(sockets: 0);

    /// <summary>Measures the process again, after everything has started that holds descriptors without connections.</summary>
    /// <param name="most">As the constructor takes it.</param>
    /// <param name="relays">As <see cref="Change"/> takes it.</param>
    public void Measure(int? most, bool relays)
    {
        Capacity = ConnectionCapacity.Measure((long)Permits.Taken * ConnectionCapacity.SocketsEach(relays));
        Change(most, relays);
    }

    /// <summary>Sets another limit.</summary>
    /// <param name="most">As the constructor takes it.</param>
    /// <param name="relays">Whether any endpoint is a relay, whose connections take a second descriptor for the upstream.</param>
    /// <returns>Whether the limit has changed.</returns>
    public bool Change(int? most, bool relays)
    {
        int next = most ?? Capacity.Derive(relays);
        if (next == Most)
        {
            return false;
        }

        lock (Permits)
        {
            Most = next;
            Apply();
        }

        return true;
    }

    private void Apply() => Permits.Most = Math.Min(OrAny(Most), _share ?? int.MaxValue);

    /// <summary>No limit is one that is never reached: it may be set to another later.</summary>
    private static int OrAny(int most) => most == 0 ? int.MaxValue : most;
}
