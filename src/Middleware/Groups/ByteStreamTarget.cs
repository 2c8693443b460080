using ByteStreams.Groups;

namespace ByteStreams;

/// <summary>
/// A set of connections to send to, from <see cref="ByteStreamConnections"/>. Each call resolves the current connections. Immutable and thread-safe.
/// </summary>
public readonly struct ByteStreamTarget
{
    private readonly ByteStreamConnections? _connections;
    private readonly TargetKind _kind;
    private readonly string _name;
    private readonly string? _except;

    internal ByteStreamTarget(ByteStreamConnections connections, TargetKind kind, string name, string? except = null)
    {
        _connections = connections;
        _kind = kind;
        _name = name;
        _except = except;
    }

    private ByteStreamConnections Connections =>
        _connections ?? throw new InvalidOperationException("The target is a default value. Get one from ByteStreamConnections.");

    /// <summary>Returns a target with the same connections except one, such as the sender's.</summary>
    /// <param name="id">The excluded connection's <see cref="ByteStreamMember.Id"/>. Only the id of the last call is excluded.</param>
    /// <exception cref="ArgumentException">The id is null, empty, or not valid Unicode.</exception>
    /// <exception cref="InvalidOperationException">The target is a default value.</exception>
    public ByteStreamTarget Except(string id)
    {
        TargetName.Check(id);
        return new ByteStreamTarget(Connections, _kind, _name, id);
    }

    /// <summary>Sends a message to the target's connections.</summary>
    /// <param name="message">
    /// The bytes, including the protocol's framing. An empty message is ignored. The caller may reuse the memory after the returned task has
    /// completed.
    /// </param>
    /// <param name="cancellationToken">
    /// Checked before the message is sent. In a cluster it also cancels the wait for a full queue: connections of this host, and of hosts whose
    /// queue was not full, still get the message.
    /// </param>
    /// <returns>
    /// Completes when the message is accepted: written to or queued for each connection of this host, and in a cluster queued for each other host
    /// with matching connections. Completion does not confirm receipt. The call writes on the calling thread, about 1 µs for each connection, and
    /// does not wait for connections. In a cluster it waits while the queue for a host is full, and until this host is ready, without a time limit
    /// of its own. Messages are queued in the order of the calls, also if a call is not awaited.
    /// </returns>
    /// <exception cref="OperationCanceledException">The token is canceled.</exception>
    /// <exception cref="ArgumentException">In a cluster: the message is longer than the queue for a host (<c>LinkQueue</c>).</exception>
    /// <exception cref="InvalidOperationException">The target is a default value.</exception>
    public ValueTask SendAsync(ReadOnlyMemory<byte> message, CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(cancellationToken);
        }

        return message.IsEmpty ? default : Connections.SendAsync(_kind, _name, _except, message, cancellationToken);
    }

    /// <summary>Returns the current connections of the target, with their users and metadata. In a cluster it queries the other hosts.</summary>
    /// <param name="cancellationToken">Cancels the query of other hosts.</param>
    /// <returns>
    /// A snapshot. In a cluster, <see cref="PresenceSnapshot.IsComplete"/> is false if a host did not answer within <c>LinkTimeout</c> (5 s by
    /// default).
    /// </returns>
    /// <exception cref="OperationCanceledException">The token is canceled.</exception>
    /// <exception cref="InvalidOperationException">The target is a default value.</exception>
    public ValueTask<PresenceSnapshot> PresenceAsync(CancellationToken cancellationToken = default) =>
        cancellationToken.IsCancellationRequested
            ? ValueTask.FromCanceled<PresenceSnapshot>(cancellationToken)
            : Connections.PresenceAsync(_kind, _name, _except, cancellationToken);
}
