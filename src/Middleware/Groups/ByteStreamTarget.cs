using ByteStreams.Groups;

namespace ByteStreams;

/// <summary>Connections to send to, from <see cref="ByteStreamConnections"/>: who they are is decided anew by each call.</summary>
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
        _connections ?? throw new InvalidOperationException("The target was not made by ByteStreamConnections, and names no connection.");

    /// <summary>The same connections without one, such as the sender's own.</summary>
    /// <param name="id">Its <see cref="ByteStreamMember.Id"/>. It replaces the one of an earlier call.</param>
    public ByteStreamTarget Except(string id)
    {
        TargetName.Check(id);
        return new ByteStreamTarget(Connections, _kind, _name, id);
    }

    /// <summary>Sends a message.</summary>
    /// <param name="message">The bytes, with the separator or the length that the protocol needs. The caller may reuse the memory when the call has completed.</param>
    /// <param name="cancellationToken">
    /// Checked before anything is sent. In a cluster it also ends the wait for another host's queue: the connections of this host, and of hosts
    /// whose queue was not full, get the message all the same.
    /// </param>
    /// <returns>
    /// Completes when the message is accepted: written to, or queued for, each connection of this host, and in a cluster queued for each other
    /// host that has such connections. It is no receipt. It never waits for a connection, and writes on the calling thread: about a microsecond
    /// for each connection. In a cluster it waits while the queue for a host is full, and until this host is ready, which may never come: pass a token.
    /// Calls that begin one after the other are queued in their order, whether or not they are awaited.
    /// </returns>
    /// <exception cref="OperationCanceledException">The token has fired.</exception>
    /// <exception cref="ArgumentException">In a cluster: the message is longer than the queue for a host.</exception>
    public ValueTask SendAsync(ReadOnlyMemory<byte> message, CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(cancellationToken);
        }

        return message.IsEmpty ? default : Connections.SendAsync(_kind, _name, _except, message, cancellationToken);
    }

    /// <summary>The connections at this moment, with what they were registered with. In a cluster, the other hosts are asked.</summary>
    /// <param name="cancellationToken">Ends the wait for other hosts.</param>
    /// <exception cref="OperationCanceledException">The token has fired.</exception>
    public ValueTask<PresenceSnapshot> PresenceAsync(CancellationToken cancellationToken = default) =>
        cancellationToken.IsCancellationRequested
            ? ValueTask.FromCanceled<PresenceSnapshot>(cancellationToken)
            : Connections.PresenceAsync(_kind, _name, _except, cancellationToken);
}
