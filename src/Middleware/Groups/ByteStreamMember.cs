using ByteStreams.Connections;
using ByteStreams.Groups;
using ByteStreams.Streams;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <summary>
/// The registration of a connection with <see cref="ByteStreamConnections"/>: its id and its groups. It is removed when the connection closes or
/// when it is disposed. All members are thread-safe.
/// </summary>
public sealed class ByteStreamMember : IAsyncDisposable
{
    private readonly ByteStreamConnections _connections;
    private readonly ByteStreamWriter _writer;
    private readonly byte[] _metadata;
    private ThinLock _gate;
    private Membership? _memberships;
    private Backlog? _backlog;
    private bool _isGone;
    private bool _isDropped;

    internal ByteStreamMember(
        ByteStreamConnections connections, ByteStreamWriter writer, long number, string id, string? user, byte[] metadata, bool isExclusive)
    {
        _connections = connections;
        _writer = writer;
        _metadata = metadata;
        Number = number;
        Id = id;
        User = user;
        IsExclusive = isExclusive;
    }

    /// <summary>
    /// The id for <see cref="ByteStreamConnections.Connection"/> and <see cref="ByteStreamTarget.Except"/>: the connection id of the logs, in a
    /// cluster with the prefix of the host.
    /// </summary>
    public string Id { get; }

    /// <summary>The user that the connection belongs to; null for none.</summary>
    public string? User { get; }

    /// <summary>
    /// Joins a group. The connection receives messages that are sent after this completes. Joining a group twice, or joining after the
    /// registration was removed, has no effect.
    /// </summary>
    /// <param name="group">The group's name, case-sensitive. The first member creates the group.</param>
    /// <param name="cancellationToken">
    /// Cancels the wait for other hosts. The connection is a member nevertheless, unless the token was canceled before the call.
    /// </param>
    /// <returns>
    /// Completes synchronously on one host. In a cluster, completes when every responsive host knows that this host has a member of the group, and
    /// at the latest after <c>JoinTimeout</c> (5 s by default).
    /// </returns>
    /// <exception cref="ArgumentException">The name is null, empty, or not valid Unicode.</exception>
    /// <exception cref="OperationCanceledException">The token is canceled.</exception>
    public ValueTask JoinAsync(string group, CancellationToken cancellationToken = default)
    {
        TargetName.Check(group);
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(cancellationToken);
        }

        return _connections.JoinAsync(this, group, cancellationToken);
    }

    /// <summary>Leaves a group. A concurrent send may still be delivered. Leaving a group without being a member has no effect.</summary>
    /// <param name="group">The group's name, case-sensitive.</param>
    /// <param name="cancellationToken">Checked before the connection leaves.</param>
    /// <returns>Completes synchronously.</returns>
    /// <exception cref="ArgumentException">The name is null, empty, or not valid Unicode.</exception>
    /// <exception cref="OperationCanceledException">The token is canceled, and the connection is still a member.</exception>
    public ValueTask LeaveAsync(string group, CancellationToken cancellationToken = default)
    {
        TargetName.Check(group);
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(cancellationToken);
        }

        _connections.Leave(this, group);
        return default;
    }

    /// <summary>Removes the registration: leaves every group. The connection stays open. Further calls have no effect.</summary>
    /// <returns>
    /// Completes when the queued messages are written, so that the handler can return; synchronously if none is queued. A peer that does not read
    /// delays it until a timeout aborts the connection.
    /// </returns>
    public async ValueTask DisposeAsync()
    {
        if (Remove(drops: false) is Task sending)
        {
            await sending.ConfigureAwait(false);
        }
    }

    /// <summary>The registration number: it orders registrations, in a cluster also across hosts.</summary>
    internal long Number { get; }

    /// <summary>Whether the registration is exclusive: it replaces earlier connections of its user.</summary>
    internal bool IsExclusive { get; }

    internal PresentConnection Describe() => new(Id, User, _metadata);

    /// <summary>Removes the registration when the connection closes.</summary>
    internal void RemoveOnClose()
    {
        if (_writer.Transport is not ConnectionContext connection || ConnectionState.Get(connection) is not ConnectionState state)
        {
            return;
        }

        for (ConnectionResource? resource = state.LastResource; resource is not null; resource = resource.Earlier)
        {
            if (resource is Removal removal && removal.Member._connections == _connections)
            {
                // Reuses the resource of an earlier, removed registration of this connection.
                removal.Member = this;
                return;
            }
        }

        state.Add(new Removal(this));
    }

    /// <summary>Enters a group. Returns false if the member is in it or the registration was removed, and null if the group is closed.</summary>
    internal bool? TryEnter(MemberGroup group)
    {
        using (_gate.Enter())
        {
            if (_isGone || Find(group) is not null)
            {
                return false;
            }

            var membership = new Membership(group, this);
            if (!group.TryAdd(membership))
            {
                return null;
            }

            membership.Next = _memberships;
            _memberships = membership;
            return true;
        }
    }

    /// <summary>Exits a group. Returns false if the member is not in it.</summary>
    internal bool Exit(MemberGroup group)
    {
        using (_gate.Enter())
        {
            Membership? before = null;
            for (Membership? at = _memberships; at is not null; before = at, at = at.Next)
            {
                if (at.Group == group)
                {
                    if (before is null)
                    {
                        _memberships = at.Next;
                    }
                    else
                    {
                        before.Next = at.Next;
                    }

                    group.Remove(at);
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>Writes a message to the connection, or queues it. Never blocks. Failures of the connection do not throw.</summary>
    /// <param name="message">The message.</param>
    /// <param name="shared">The copy of the message that all queues share. The first connection that queues the message creates it.</param>
    /// <returns>Whether the message was written or queued.</returns>
    internal bool Deliver(ReadOnlySpan<byte> message, ref byte[]? shared)
    {
        long pending;
        using (_gate.Enter())
        {
            if (_isGone)
            {
                return false;
            }

            if (_backlog is null)
            {
                DeliveryResult delivery = Write(message);
                if (delivery == DeliveryResult.Blocked)
                {
                    _backlog = new Backlog();
                    _backlog.Sending = SendBacklogAsync(_backlog);
                }

                return delivery != DeliveryResult.Refused;
            }

            pending = _backlog.Bytes + message.Length;
            if (pending <= _connections.MaxPending)
            {
                _backlog.Enqueue(shared ??= message.ToArray());
                return true;
            }
        }

        AbortSlowConsumer($"{pending} bytes queued exceed MaxPending, {_connections.MaxPending}");
        return false;
    }

    /// <summary>Removes the registration and closes the connection, because a newer connection of the user replaces it.</summary>
    internal void Replace()
    {
        _ = Remove(drops: false);
        Close(static writer => writer.CloseFor(ConnectionCloseReason.Replaced));
    }

    private void AbortSlowConsumer(string cause)
    {
        using (_gate.Enter())
        {
            if (_isDropped)
            {
                // A concurrent sender has aborted it already, or the connection has closed. After DisposeAsync the queued messages are still sent.
                return;
            }

            _isDropped = true;
        }

        GroupsLog.SlowConsumer(_connections.Logger, Id, cause);
        _ = Remove(drops: true);
        Close(writer => writer.Abort(ConnectionCloseReason.SlowConsumer, new ConnectionAbortedException($"Slow consumer: {cause}.")));
    }

    /// <summary>Closes the connection. An exception of the application's own pipe is logged, because it must not stop a send to other members.</summary>
    private void Close(Action<ByteStreamWriter> close)
    {
        try
        {
            close(_writer);
        }
        catch (Exception error)
        {
            GroupsLog.CloseFailed(_connections.Logger, error, Id);
        }
    }

    /// <summary>Removes the registration.</summary>
    /// <param name="drops">Whether queued messages are dropped.</param>
    /// <returns>The task that sends the queued messages; null if none is queued.</returns>
    private Task? Remove(bool drops)
    {
        Task? sending;
        using (_gate.Enter())
        {
            _isGone = true;
            for (; _memberships is not null; _memberships = _memberships.Next)
            {
                _memberships.Group.Remove(_memberships);
            }

            if (drops)
            {
                _isDropped = true;
                _backlog?.Clear();
            }

            sending = _backlog?.Sending;
        }

        _connections.Remove(this);
        return sending;
    }

    private Membership? Find(MemberGroup group)
    {
        Membership? membership = _memberships;
        while (membership is not null && membership.Group != group)
        {
            membership = membership.Next;
        }

        return membership;
    }

    private DeliveryResult Write(ReadOnlySpan<byte> message)
    {
        try
        {
            return _writer.Deliver(message);
        }
        catch (Exception error)
        {
            // A custom PipeWriter may throw. Its failure must not prevent delivery to other connections.
            GroupsLog.DeliveryFailed(_connections.Logger, error, Id);
            return DeliveryResult.Refused;
        }
    }

    /// <summary>Sends the queued messages as the connection drains. At most one instance runs for a member.</summary>
    private async Task SendBacklogAsync(Backlog backlog)
    {
        // Yields, because the caller holds the lock and continues with the next connection.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        try
        {
            while (true)
            {
                await _writer.DrainAsync().AsTask().WaitAsync(_connections.PendingTimeout, _connections.TimeProvider).ConfigureAwait(false);
                using (_gate.Enter())
                {
                    bool isBlocked = false;
                    while (!isBlocked && backlog.TryDequeue(out byte[]? message))
                    {
                        isBlocked = Write(message) == DeliveryResult.Blocked;
                    }

                    if (!isBlocked)
                    {
                        _backlog = null;
                        return;
                    }
                }
            }
        }
        catch (TimeoutException)
        {
            AbortSlowConsumer($"write buffer not drained within PendingTimeout, {_connections.PendingTimeout.TotalSeconds:0.###} s");
        }
        catch (Exception failure)
        {
            // The connection is closed or has failed. Its handler gets the error; queued messages cannot be delivered.
            GroupsLog.BacklogDropped(_connections.Logger, failure, Id);
            _ = Remove(drops: true);
        }
    }

    private sealed class Removal(ByteStreamMember member) : ConnectionResource
    {
        public ByteStreamMember Member { get; set; } = member;

        public override void Release() => Member.Remove(drops: true);
    }
}
