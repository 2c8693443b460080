namespace ByteStreams.Cluster.Links;

/// <summary>Carries batches and questions to other hosts. It may lose, repeat and delay them, and keeps no order.</summary>
internal interface ILinkTransport
{
    /// <summary>Sends a batch.</summary>
    /// <returns>The answer. It may fail, or never come.</returns>
    Task<LinkReply> SendAsync(SiloAddress host, LinkBatch batch);

    /// <summary>Asks which connections a target has on a host.</summary>
    /// <returns>The connections. It may fail, or never come.</returns>
    Task<IReadOnlyList<PresentConnection>> AskAsync(SiloAddress host, PresenceQuestion question);
}
