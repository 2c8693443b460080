namespace ByteStreams.Cluster.Links;

/// <summary>Carries batches and presence queries to other hosts. It may drop, duplicate, delay and reorder them.</summary>
internal interface ILinkTransport
{
    /// <summary>Sends a batch.</summary>
    /// <returns>The reply. The task may fault or never complete.</returns>
    Task<LinkReply> SendAsync(SiloAddress host, LinkBatch batch);

    /// <summary>Queries the connections of a target on a host.</summary>
    /// <returns>The connections. The task may fault or never complete.</returns>
    Task<IReadOnlyList<PresentConnection>> AskAsync(SiloAddress host, PresenceQuestion question);
}
