namespace ByteStreams.Groups;

/// <summary>
/// Carries messages between the hosts of a cluster for <see cref="ByteStreamConnections"/>. Internal until a second implementation exists in
/// addition to ByteStreams.Orleans.
/// </summary>
internal abstract class ByteStreamBackplane
{
    /// <summary>The prefix of this host's connection ids, before a colon. Unique in the cluster and never reused.</summary>
    public abstract string HostId { get; }

    /// <summary>The reason why this host is not ready; null if it is ready. For health checks.</summary>
    public abstract string? NotReadyReason { get; }

    /// <summary>
    /// Completes when this host and its peers have exchanged their groups, so that clients can be served. Canceled if the host stops or is evicted
    /// before that.
    /// </summary>
    public abstract Task WhenReady { get; }

    /// <summary>Whether this host was evicted from the cluster. An evicted host must not serve new clients.</summary>
    public abstract bool IsEvicted { get; }

    /// <summary>Sets the connections that receive messages of other hosts. Called once, before any other member.</summary>
    public abstract void Attach(ByteStreamConnections connections);

    /// <summary>Announces that a group or a user has its first member on this host. Called under the group's lock.</summary>
    /// <returns>
    /// Completes when every responsive host has applied the announcement. An unresponsive host receives it with its next answer.
    /// </returns>
    public abstract Task Announce(TargetKind kind, string name);

    /// <summary>Withdraws an announcement after the last member has left. Called under the group's lock, once for each announcement.</summary>
    public abstract void Withdraw(TargetKind kind, string name);

    /// <summary>Sends a message to the matching connections of other hosts.</summary>
    /// <returns>Completes when the message is queued for each host that has matching connections.</returns>
    public abstract ValueTask SendAsync(TargetKind kind, string name, string? except, ReadOnlyMemory<byte> message, CancellationToken cancellationToken);

    /// <summary>Validates the length of a message.</summary>
    /// <exception cref="ArgumentException">The message is longer than the queue for a host.</exception>
    public abstract void Check(ReadOnlyMemory<byte> message);

    /// <summary>Queries the other hosts for the connections of a target.</summary>
    /// <param name="kind">The target's type.</param>
    /// <param name="name">The target's name.</param>
    /// <param name="except">The id of a connection to exclude; null for none.</param>
    /// <param name="present">Receives the connections of the other hosts.</param>
    /// <param name="cancellationToken">Cancels the query.</param>
    /// <returns>Whether every host that may have matching connections has answered.</returns>
    public abstract ValueTask<bool> AskAsync(
        TargetKind kind, string name, string? except, List<PresentConnection> present, CancellationToken cancellationToken);

    /// <summary>Closes the older connections of a user on all other hosts.</summary>
    /// <param name="user">The user.</param>
    /// <param name="number">The registration number of the connection that replaces them.</param>
    /// <param name="id">The id of that connection.</param>
    public abstract void Replace(string user, long number, string id);
}
