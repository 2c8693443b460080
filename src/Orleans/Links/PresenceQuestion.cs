namespace ByteStreams.Cluster.Links;

/// <summary>Which connections a target has on a host.</summary>
[GenerateSerializer, Immutable, Alias("ByteStreams.PresenceQuestion")]
internal sealed class PresenceQuestion
{
    /// <summary>The kind of the target.</summary>
    [Id(0)]
    public required byte Kind { get; init; }

    /// <summary>Its name.</summary>
    [Id(1)]
    public required string Name { get; init; }

    /// <summary>The connection that is left out; null for none.</summary>
    [Id(2)]
    public string? Except { get; init; }
}

/// <summary>A connection of another host.</summary>
[GenerateSerializer, Immutable, Alias("ByteStreams.PresenceAnswer")]
internal sealed class PresenceAnswer
{
    /// <summary>Its id.</summary>
    [Id(0)]
    public required string Id { get; init; }

    /// <summary>Its user; null for none.</summary>
    [Id(1)]
    public string? User { get; init; }

    /// <summary>What it was registered with.</summary>
    [Id(2)]
    public required byte[] Metadata { get; init; }
}
