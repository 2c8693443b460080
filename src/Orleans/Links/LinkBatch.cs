namespace ByteStreams.Cluster.Links;

/// <summary>A numbered batch of entries from one host to another. A resent batch has the same number and content.</summary>
[GenerateSerializer, Immutable, Alias("ByteStreams.LinkBatch")]
internal sealed class LinkBatch
{
    /// <summary>The format of this version; no other format is accepted.</summary>
    public const byte CurrentFormat = 1;

    /// <summary>The address of the sender.</summary>
    [Id(0)]
    public required SiloAddress Sender { get; init; }

    /// <summary>The epoch of the link. It increases each time the sender restarts the link.</summary>
    [Id(1)]
    public required long Epoch { get; init; }

    /// <summary>The sequence number in the epoch, from 1.</summary>
    [Id(2)]
    public required long Number { get; init; }

    /// <summary>The encoded entries, see <see cref="LinkEntry"/>. Immutable.</summary>
    [Id(3)]
    public required byte[] Content { get; init; }

    /// <summary>The format of the content.</summary>
    [Id(4)]
    public byte Format { get; init; } = CurrentFormat;
}
