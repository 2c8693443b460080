using ByteStreams.Connections;
using ByteStreams.Groups;
using ByteStreams.Streams;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <summary>
/// The registration of a connection at <see cref="ByteStreamConnections"/>: its id, and the groups that it joins. Ends with the connection, or
/// when it is disposed of. All members may be called from any thread.
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

    /// <summary>The id to send to this connection, and to leave it out by <see cref="ByteStreamTarget.Except"/>: that of the connection in logs.</summary>
    public string Id { get; }

    /// <summary>The user that the connection belongs to; null for none.</summary>
    public string? User { get; }

    /// <summary>Joins a group. Messages that are sent to it afterwards arrive. A second call for one group does nothing.</summary>
    /// <param name="group">Its name, case-sensitive. It need not exist.</param>
    /// <param name="cancellationToken">Ends the wait. The connection has joined all the same, unless the token had fired before the call.</param>
    /// <returns>
    /// Done when the connection has joined; at once on one host. In a cluster, when every other host that answers knows that this host has a
    /// member of the group. A registration that has ended joins nothing.
    /// </returns>
    public ValueTask JoinAsync(string group, CancellationToken cancellationToken = default)
    {
        TargetName.Check(group);
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(cancellationToken);
        }

        return _connections.JoinAsync(this, group, cancellationToken);
    }

    /// <summary>Leaves a group. A message that is being sent may still arrive. Nothing happens where the connection is not in it.</summary>
    /// <param name="group">Its name.</param>
    /// <param name="cancellationToken">Checked at the start.</param>
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

    /// <summary>Ends the registration: leaves every group. The connection stays open. May be called several times.</summary>
    /// <returns>
    /// Done when the messages that wait for the connection are written, so that a handler may return afterwards; at once where none waits.
    /// A peer that does not read delays it until a timeout ends the connection.
    /// </returns>
    public async ValueTask DisposeAsync()
    {
        if (Remove(drops: false) is Task sending)
        {
            await sending.ConfigureAwait(false);
        }
    }

    /// <summary>The order of registration, in a cluster also among hosts.</summary>
    internal long Number { get; }

    /// <summary>Whether it is to be the only one of its user.</summary>
    internal bool IsExclusive { get; }

    internal PresentConnection Describe() => new(Id, User, _metadata);

    /// <summary>Registers for the end of the connection.</summary>
    internal void RemoveWithTheConnection()
    {
        if (_writer.Transport is not ConnectionContext connection || ConnectionState.Get(connection) is not ConnectionState state)
        {
            return;
        }

        for (ConnectionResource? resource = state.LastResource; resource is not null; resource = resource.Earlier)
        {
            if (resource is Removal removal && removal.Member._connections == _connections)
            {
                // An earlier registration of the connection has ended.
                removal.Member = this;
                return;
            }
        }

        state.Add(new Removal(this));
    }

    /// <summary>Enters a group; false if the member is in it, or its registration has ended; null if the group is closed.</summary>
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

    /// <summary>Exits a group; false if the member is not in it.</summary>
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

    /// <summary>Writes a message to the connection, or queues it. Never waits, and never throws because of the connection.</summary>
    /// <param name="message">The message.</param>
    /// <param name="shared">Its copy for every connection that it waits for, made for the first one.</param>
    /// <returns>Whether the connection gets it, unless it is lost.</returns>
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
                Delivered delivery = Write(message);
                if (delivery == Delivered.Blocked)
                {
                    _backlog = new Backlog();
                    _backlog.Sending = SendBacklogAsync(_backlog);
                }

                return delivery != Delivered.Refused;
            }

            pending = _backlog.Bytes + message.Length;
            if (pending <= _connections.MaxPending)
            {
                _backlog.Enqueue(shared ??= message.ToArray());
                return true;
            }
        }

        EndSlow($"{pending} bytes would wait for it, and MaxPending is {_connections.MaxPending}");
        return false;
    }

    /// <summary>Ends the registration, and closes the connection: a newer one of the user takes its place.</summary>
    internal void Replace()
    {
        _ = Remove(drops: false);
        Close(static writer => writer.CloseFor(ConnectionCloseReason.Replaced));
    }

    private void EndSlow(string cause)
    {
        using (_gate.Enter())
        {
            if (_isDropped)
            {
                // Another sender has found it slow, or the connection has closed. A registration that has ended still has its messages to send.
                return;
            }

            _isDropped = true;
        }

        GroupsLog.SlowConsumer(_connections.Logger, Id, cause);
        _ = Remove(drops: true);
        Close(writer => writer.Abort(ConnectionCloseReason.SlowConsumer, new ConnectionAbortedException($"The peer does not read what others send to it: {cause}.")));
    }

    /// <summary>Closes the connection. A pipe of the application's own may throw, which must not end a send to others.</summary>
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

    /// <summary>Ends the registration.</summary>
    /// <param name="drops">Whether what waits is dropped.</param>
    /// <returns>What sends it otherwise; null where nothing waits.</returns>
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

    private Delivered Write(ReadOnlySpan<byte> message)
    {
        try
        {
            return _writer.Deliver(message);
        }
        catch (Exception error)
        {
            // A pipe of the application's own: what it throws must not keep the message from others.
            GroupsLog.DeliveryFailed(_connections.Logger, error, Id);
            return Delivered.Refused;
        }
    }

    /// <summary>Sends what waits, as the connection takes it. At most one runs.</summary>
    private async Task SendBacklogAsync(Backlog backlog)
    {
        // The caller sends to others next.
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
                        isBlocked = Write(message) == Delivered.Blocked;
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
            EndSlow($"messages wait, and it did not take its write buffer within PendingTimeout ({_connections.PendingTimeout.TotalSeconds:0.###} s)");
        }
        catch (Exception lost)
        {
            // Closed or lost: its handler learns of it, and nothing can be delivered any more.
            GroupsLog.BacklogDropped(_connections.Logger, lost, Id);
            _ = Remove(drops: true);
        }
    }

    private sealed class Removal(ByteStreamMember member) : ConnectionResource
    {
        public ByteStreamMember Member { get; set; } = member;

        public override void Release() => Member.Remove(drops: true);
    }
}
