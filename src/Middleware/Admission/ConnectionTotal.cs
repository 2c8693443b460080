using ByteStreams.Transport;

namespace ByteStreams.Admission;

/// <summary>The places of all endpoints together.</summary>
internal sealed class ConnectionTotal
{
    /// <param name="most">The number; null derives it from the descriptors and the memory of the process, zero is none.</param>
    public ConnectionTotal(int? most)
    {
        Most = most ?? Capacity.Derive(relays: false);
        // Who may wait is bounded by each endpoint's own queue.
        Places = new PermitLimiter(OrAny(Most));
    }

    public PermitLimiter Places { get; }

    /// <summary>How many connections all endpoints together may have; zero where there is no limit.</summary>
    public int Most { get; private set; }

    /// <summary>What the number is derived from.</summary>
    public ConnectionCapacity Capacity { get; private set; } = ConnectionCapacity.Measure(sockets: 0);

    /// <summary>Measures the process again, once everything has started that holds descriptors without connections.</summary>
    /// <param name="most">As the constructor takes it.</param>
    /// <param name="relays">As <see cref="Change"/> takes it.</param>
    public void Measure(int? most, bool relays)
    {
        Capacity = ConnectionCapacity.Measure((long)Places.Taken * ConnectionCapacity.SocketsEach(relays));
        Change(most, relays);
    }

    /// <summary>Sets another number.</summary>
    /// <param name="most">As the constructor takes it.</param>
    /// <param name="relays">Whether any endpoint is a relay, whose connections take a second descriptor for the upstream.</param>
    /// <returns>Whether it is another.</returns>
    public bool Change(int? most, bool relays)
    {
        int next = most ?? Capacity.Derive(relays);
        if (next == Most)
        {
            return false;
        }

        Most = next;
        Places.Most = OrAny(next);
        return true;
    }

    /// <summary>No limit is one that is never reached, so that another may come later.</summary>
    private static int OrAny(int most) => most == 0 ? int.MaxValue : most;
}
