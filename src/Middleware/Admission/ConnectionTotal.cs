namespace ByteStreams.Admission;

/// <summary>The places of all endpoints together.</summary>
internal sealed class ConnectionTotal
{
    /// <summary>What stays free of the process's descriptors: a sixteenth, and those at which listeners stop accepting.</summary>
    private const int Share = 16;

    private const int Reserve = 128;

    /// <param name="most">The number; null derives it from the limit of open descriptors, zero is none.</param>
    public ConnectionTotal(int? most)
    {
        DescriptorLimit = Transport.DescriptorLimit.Current().Most;
        Most = most ?? Derive(DescriptorLimit, relays: false);
        // Who may wait is bounded by each endpoint's own queue.
        Places = new PlaceLimiter(OrAny(Most));
    }

    public PlaceLimiter Places { get; }

    /// <summary>How many connections all endpoints together may have; zero where there is no limit.</summary>
    public int Most { get; private set; }

    /// <summary>What the number was derived from.</summary>
    public long DescriptorLimit { get; }

    /// <summary>Sets another number.</summary>
    /// <param name="most">As the constructor takes it.</param>
    /// <param name="relays">Whether any endpoint is a relay, whose connections take a second descriptor for the upstream.</param>
    /// <returns>Whether it is another.</returns>
    public bool Change(int? most, bool relays)
    {
        int next = most ?? Derive(DescriptorLimit, relays);
        if (next == Most)
        {
            return false;
        }

        Most = next;
        Places.Most = OrAny(next);
        return true;
    }

    internal static int Derive(long descriptors, bool relays) =>
        descriptors == long.MaxValue ? 0 : (int)Math.Clamp((descriptors - (descriptors / Share) - Reserve) / (relays ? 2 : 1), 16, int.MaxValue);

    /// <summary>No limit is one that is never reached, so that another may come later.</summary>
    private static int OrAny(int most) => most == 0 ? int.MaxValue : most;
}
