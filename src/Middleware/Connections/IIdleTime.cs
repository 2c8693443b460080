namespace ByteStreams.Connections;

/// <summary>What timeouts know of a connection.</summary>
internal interface IIdleTime
{
    /// <summary>The time since the last byte was received or sent, as exact as the heartbeat. Callable from any thread.</summary>
    TimeSpan Idle { get; }
}
