namespace ByteStreams;

/// <summary>How a drain went.</summary>
public sealed class DrainReport
{
    internal DrainReport(int aborted, int leftBehind)
    {
        Aborted = aborted;
        LeftBehind = leftBehind;
    }

    /// <summary>The connections that had not ended at the deadline and were aborted.</summary>
    public int Aborted { get; }

    /// <summary>The handlers, out of those, that did not return although their connection was aborted.</summary>
    public int LeftBehind { get; }

    /// <summary>Whether every connection ended by itself, with everything delivered that was written.</summary>
    public bool IsClean => Aborted == 0;

    internal static DrainReport Sum(IReadOnlyCollection<DrainReport> parts) => new(parts.Sum(part => part.Aborted), parts.Sum(part => part.LeftBehind));
}
