namespace ByteStreams.Cluster.Links;

/// <summary>What one host sends to another at a time. A batch that is sent again has the same number and content.</summary>
[GenerateSerializer, Immutable, Alias("ByteStreams.LinkBatch")]
internal sealed class LinkBatch
{
    /// <summary>The format that this version writes, and the only one that it reads.</summary>
    public const byte CurrentFormat = 1;

    /// <summary>The host that sends it.</summary>
    [Id(0)]
    public required SiloAddress Sender { get; init; }

    /// <summary>Greater for each time that the sender begins again.</summary>
    [Id(1)]
    public required long Epoch { get; init; }

    /// <summary>Counts the batches of an epoch from 1.</summary>
    [Id(2)]
    public required long Number { get; init; }

    /// <summary>The entries, see <see cref="LinkEntry"/>. Not changed any more.</summary>
    [Id(3)]
    public required byte[] Content { get; init; }

    /// <summary>The format of the content.</summary>
    [Id(4)]
    public byte Format { get; init; } = CurrentFormat;
}
