namespace ByteStreams;

/// <summary>A snapshot of the connections of a target.</summary>
public sealed class PresenceSnapshot
{
    internal PresenceSnapshot(IReadOnlyList<PresentConnection> connections, bool isComplete)
    {
        Connections = connections;
        IsComplete = isComplete;
    }

    /// <summary>The connections, in no particular order.</summary>
    public IReadOnlyList<PresentConnection> Connections { get; }

    /// <summary>Whether every queried host has answered. Always true without a cluster.</summary>
    public bool IsComplete { get; }
}

/// <summary>A registered connection in a presence snapshot.</summary>
/// <param name="Id">The connection's id, for <see cref="ByteStreamConnections.Connection"/>.</param>
/// <param name="User">The user that it belongs to; null for none.</param>
/// <param name="Metadata">The metadata of the registration; empty if there is none.</param>
public sealed record PresentConnection(string Id, string? User, ReadOnlyMemory<byte> Metadata);
