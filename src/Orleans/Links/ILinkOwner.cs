namespace ByteStreams.Cluster.Links;

/// <summary>The callbacks of a link to its backplane.</summary>
internal interface ILinkOwner
{
    /// <summary>Returns the next epoch, greater than all earlier ones.</summary>
    long NextEpoch();

    /// <summary>Runs an action with the groups of this host, under the lock that guards them.</summary>
    void WithInterest(Action<LocalInterest> action);

    /// <summary>Called after a host has become suspect or responsive.</summary>
    void OnLinkChanged();

    /// <summary>Called after a host has rejected this host as evicted.</summary>
    void OnFenced(SiloAddress by);

    /// <summary>Called after an unexpected exception has closed a link.</summary>
    void OnFailed(Exception fault);
}
