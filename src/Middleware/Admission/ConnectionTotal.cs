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
        Most = most ?? Derive(DescriptorLimit);
        // Who may wait is bounded by each endpoint's own queue.
        Places = new PlaceLimiter(OrAny(Most));
    }

    public PlaceLimiter Places { get; }

    /// <summary>How many connections all endpoints together may have; zero where there is no limit.</summary>
    public int Most { get; private set; }

    /// <summary>What the number was derived from.</summary>
    public long DescriptorLimit { get; }

    /// <summary>Sets another number, as the constructor takes it.</summary>
    /// <returns>Whether it is another.</returns>
    public bool Change(int? most)
    {
        int next = most ?? Derive(DescriptorLimit);
        if (next == Most)
        {
            return false;
        }

        Most = next;
        Places.Most = OrAny(next);
        return true;
    }

    internal static int Derive(long descriptors) =>
        descriptors == long.MaxValue ? 0 : (int)Math.Clamp(descriptors - (descriptors / Share) - Reserve, 16, int.MaxValue);

    /// <summary>No limit is one that is never reached, so that another may come later.</summary>
    private static int OrAny(int most) => most == 0 ? int.MaxValue : most;
}
