namespace ByteStreams;

/// <summary>The connections of a target at one moment.</summary>
public sealed class PresenceSnapshot
{
    internal PresenceSnapshot(IReadOnlyList<PresentConnection> connections, bool isComplete)
    {
        Connections = connections;
        IsComplete = isComplete;
    }

    /// <summary>The connections, in no order.</summary>
    public IReadOnlyList<PresentConnection> Connections { get; }

    /// <summary>Whether every host has answered. On one host always.</summary>
    public bool IsComplete { get; }
}

/// <summary>A registered connection, as others see it.</summary>
/// <param name="Id">Its id, to send to it alone.</param>
/// <param name="User">The user that it belongs to; null for none.</param>
/// <param name="Metadata">What it was registered with; empty for nothing.</param>
public sealed record PresentConnection(string Id, string? User, ReadOnlyMemory<byte> Metadata);
