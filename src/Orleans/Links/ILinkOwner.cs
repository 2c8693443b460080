namespace ByteStreams.Cluster.Links;

/// <summary>What a link tells its backplane.</summary>
internal interface ILinkOwner
{
    /// <summary>Returns a number that is greater than all before.</summary>
    long NextEpoch();

    /// <summary>Runs an action with the groups of this host, which do not change meanwhile.</summary>
    void WithInterest(Action<LocalInterest> action);

    /// <summary>A host answers no more, or again.</summary>
    void OnLinkChanged();

    /// <summary>A host says that this one has been evicted from the cluster.</summary>
    void OnFenced(SiloAddress by);

    /// <summary>A fault of this program has ended a link.</summary>
    void OnFailed(Exception fault);
}
