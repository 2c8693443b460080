namespace ByteStreams.Cluster.Links;

/// <summary>What a host answers to a batch. The numbers go over the wire.</summary>
internal enum LinkReply : byte
{
    /// <summary>Applied, now or before.</summary>
    Accepted = 1,

    /// <summary>Not applied: the link has been silent for too long, or has a gap. The sender begins again, with all of its groups.</summary>
    Renew = 2,

    /// <summary>Not applied: the sender is no member yet, as this host knows. It tries again.</summary>
    Unknown = 3,

    /// <summary>Not applied: the sender has been evicted from the cluster, and must not go on.</summary>
    Fenced = 4,

    /// <summary>An earlier attempt is being applied: the host answers, and has not finished. The sender tries again.</summary>
    Working = 5,

    /// <summary>Not applied: the host is leaving the cluster, and has no connections any more.</summary>
    Leaving = 6,
}
