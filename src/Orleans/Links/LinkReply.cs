namespace ByteStreams.Cluster.Links;

/// <summary>The reply to a batch. The values are part of the wire format.</summary>
internal enum LinkReply : byte
{
    /// <summary>The batch is applied, by this attempt or an earlier one.</summary>
    Accepted = 1,

    /// <summary>Not applied: the link was idle for too long, or has a gap. The sender starts a new epoch with all of its groups.</summary>
    Renew = 2,

    /// <summary>Not applied: this host does not know the sender yet. The sender retries.</summary>
    Unknown = 3,

    /// <summary>Not applied: the sender was evicted from the cluster and must stop.</summary>
    Fenced = 4,

    /// <summary>An earlier attempt is still being applied. The sender retries and does not count the host as silent.</summary>
    Working = 5,

    /// <summary>Not applied: the host is leaving the cluster and has no connections.</summary>
    Leaving = 6,
}
