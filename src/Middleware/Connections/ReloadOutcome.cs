namespace ByteStreams.Connections;

/// <summary>The last time that the configuration was read: at the start, or later.</summary>
/// <param name="Time">When it ended.</param>
/// <param name="Errors">What was not taken over, a line for each error; none where everything was.</param>
internal sealed record ReloadOutcome(DateTimeOffset Time, IReadOnlyList<string> Errors)
{
    public bool IsSuccess => Errors.Count == 0;
}
