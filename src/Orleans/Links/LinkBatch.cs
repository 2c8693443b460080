namespace ByteStreams.Cluster.Links;

/// <summary>What one host sends to another at a time. A batch that is sent again has the same number and content.</summary>
[GenerateSerializer, Immutable, Alias("ByteStreams.LinkBatch")]
internal sealed class LinkBatch
{
    /// <summary>The host that sends it.</summary>
    [Id(0)]
    public required SiloAddress Sender { get; init; }

    /// <summary>Counts from 1 how often the sender has begun again.</summary>
    [Id(1)]
    public required int Epoch { get; init; }

    /// <summary>Counts the batches of an epoch from 1.</summary>
    [Id(2)]
    public required long Number { get; init; }

    /// <summary>The entries, see <see cref="LinkEntry"/>. Not changed any more.</summary>
    [Id(3)]
    public required byte[] Content { get; init; }
}
