namespace ByteStreams.Cluster.Links;

/// <summary>A query for the connections of a target on a host.</summary>
[GenerateSerializer, Immutable, Alias("ByteStreams.PresenceQuestion")]
internal sealed class PresenceQuestion
{
    /// <summary>The target's type, a <see cref="ByteStreams.Groups.TargetKind"/>.</summary>
    [Id(0)]
    public required byte Kind { get; init; }

    /// <summary>The target's name.</summary>
    [Id(1)]
    public required string Name { get; init; }

    /// <summary>The id of the excluded connection; null for none.</summary>
    [Id(2)]
    public string? Except { get; init; }
}

/// <summary>A connection in the answer.</summary>
[GenerateSerializer, Immutable, Alias("ByteStreams.PresenceAnswer")]
internal sealed class PresenceAnswer
{
    /// <summary>The connection's id.</summary>
    [Id(0)]
    public required string Id { get; init; }

    /// <summary>The connection's user; null for none.</summary>
    [Id(1)]
    public string? User { get; init; }

    /// <summary>The metadata of the registration.</summary>
    [Id(2)]
    public required byte[] Metadata { get; init; }
}
