namespace ByteStreams;

/// <summary>The outcome of a read of the configuration, at the start or at a reload.</summary>
/// <param name="Time">The time at which it was complete.</param>
/// <param name="Errors">One line for each error; empty if the configuration was applied.</param>
public sealed record ReloadOutcome(DateTimeOffset Time, IReadOnlyList<string> Errors)
{
    /// <summary>Whether the configuration was applied.</summary>
    public bool IsSuccess => Errors.Count == 0;
}
