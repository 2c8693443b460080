namespace ByteStreams.Connections;

/// <summary>The result of a read of the configuration, at the start or at a reload.</summary>
/// <param name="Time">When it ended.</param>
/// <param name="Errors">One line for each error for which the configuration was rejected; empty if it was applied.</param>
internal sealed record ReloadOutcome(DateTimeOffset Time, IReadOnlyList<string> Errors)
{
    public bool IsSuccess => Errors.Count == 0;
}
