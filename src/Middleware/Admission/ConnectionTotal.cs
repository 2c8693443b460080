namespace ByteStreams.Admission;

/// <summary>The places of all endpoints together.</summary>
internal sealed class ConnectionTotal : IDisposable
{
    /// <summary>What stays free of the process's descriptors: a sixteenth, and those at which listeners stop accepting.</summary>
    private const int Share = 16;

    private const int Reserve = 128;

    private readonly SemaphoreSlim? _places;

    /// <param name="most">The number; null derives it from the limit of open descriptors, zero is none.</param>
    public ConnectionTotal(int? most)
    {
        DescriptorLimit = Transport.DescriptorLimit.Current().Most;
        Most = most ?? Derive(DescriptorLimit);
        if (Most > 0)
        {
            // Who may wait is bounded by each endpoint's own queue.
            _places = new SemaphoreSlim(Most, Most);
        }
    }

    public SemaphoreSlim? Places => _places;

    /// <summary>How many connections all endpoints together may have; zero where there is no limit.</summary>
    public int Most { get; }

    /// <summary>What the number was derived from.</summary>
    public long DescriptorLimit { get; }

    public void Dispose() => _places?.Dispose();

    internal static int Derive(long descriptors) =>
        descriptors == long.MaxValue ? 0 : (int)Math.Clamp(descriptors - (descriptors / Share) - Reserve, 16, int.MaxValue);
}
