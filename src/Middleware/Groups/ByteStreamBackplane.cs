namespace ByteStreams.Groups;

/// <summary>
/// Carries messages between the hosts of a cluster for <see cref="ByteStreamConnections"/>. Internal until there is a second one besides that of
/// the package ByteStreams.Orleans.
/// </summary>
internal abstract class ByteStreamBackplane
{
    /// <summary>What the ids of this host's connections begin with, before a colon. It is unique in the cluster and in time.</summary>
    public abstract string HostId { get; }

    /// <summary>Why this host may not serve clients now; null if it may. For health checks.</summary>
    public abstract string? Unready { get; }

    /// <summary>
    /// Completes when the first client may be served: this host and its peers know each other's groups. Canceled if that does not come.
    /// </summary>
    public abstract Task WhenReady { get; }

    /// <summary>Whether this host is no member any more, and must not serve another client.</summary>
    public abstract bool HasEnded { get; }

    /// <summary>Sets what delivers the messages of other hosts, once, before anything else is called.</summary>
    public abstract void Attach(ByteStreamConnections connections);

    /// <summary>A group or a user has its first member on this host. Called under the group's lock.</summary>
    /// <returns>Done when the other hosts know it, or need not: those that do not answer learn of it when they do.</returns>
    public abstract Task Announce(TargetKind kind, string name);

    /// <summary>A group or a user has no member on this host any more. Called under the group's lock, once for each announcement.</summary>
    public abstract void Withdraw(TargetKind kind, string name);

    /// <summary>Sends a message to the connections of other hosts.</summary>
    /// <returns>Done when it is queued for each host that has such connections.</returns>
    public abstract ValueTask SendAsync(TargetKind kind, string name, string? except, ReadOnlyMemory<byte> message, CancellationToken cancellationToken);

    /// <summary>Throws if a message is longer than a host can send to another.</summary>
    /// <exception cref="ArgumentException">It is too long.</exception>
    public abstract void Check(ReadOnlyMemory<byte> message);

    /// <summary>Asks the other hosts who is there.</summary>
    /// <param name="kind">Of the target.</param>
    /// <param name="name">Of the target.</param>
    /// <param name="except">A connection to leave out; null for none.</param>
    /// <param name="present">Receives the connections of the other hosts.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>Whether every host that may have such connections has answered.</returns>
    public abstract ValueTask<bool> AskAsync(
        TargetKind kind, string name, string? except, List<PresentConnection> present, CancellationToken cancellationToken);

    /// <summary>Ends the older connections of a user on all other hosts.</summary>
    /// <param name="user">The user.</param>
    /// <param name="number">The number of the connection that replaces them.</param>
    /// <param name="id">Its id.</param>
    public abstract void Replace(string user, long number, string id);
}
