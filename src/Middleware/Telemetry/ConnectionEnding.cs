namespace ByteStreams.Telemetry;

/// <summary>
/// What is to be given back when a connection has ended. Telemetry waits for that end anyhow, so whoever is within it leaves one of
/// these there: a frame of its own, asleep as long as the connection is, would cost each idle connection 150 bytes more.
/// </summary>
internal abstract class ConnectionEnding
{
    /// <summary>The one that was left before.</summary>
    public ConnectionEnding? Earlier { get; set; }

    /// <summary>Called once.</summary>
    public abstract void OnEnded();
}
