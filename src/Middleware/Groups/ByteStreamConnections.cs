using System.Collections.Concurrent;
using System.Globalization;
using ByteStreams.Connections;
using ByteStreams.Groups;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams;

/// <summary>
/// The connections of this host that others may send to: one connection, those of a user, those of a group, or all. A service to ask for in
/// handlers, HTTP endpoints and background services; <c>AddByteStreams</c> adds it.
/// </summary>
/// <remarks>
/// <para>
/// A handler registers its connection, after <c>StartTlsAsync</c> where it uses that, and joins groups. The connection is removed when it has
/// closed, or when the <see cref="ByteStreamMember"/> is disposed of.
/// </para>
/// <para>
/// <b>Ownership.</b> The writer stays the handler's. A message is written as one <see cref="ByteStreamWriter.Write(ReadOnlySpan{byte})"/> of
/// its bytes and sent: it never lies within the bytes of one <c>Write</c>, and always between two. A handler that writes one answer by several
/// calls must expect messages between them. A message takes back memory of <see cref="ByteStreamWriter.GetMemory"/>: a handler whose
/// connection is registered writes by <c>Write</c>.
/// </para>
/// <para>
/// <b>Guarantees.</b> Each message is delivered at most once, and to every connection that is open, registered or joined, and keeping up.
/// Messages of one sender arrive in their order; messages of different senders in any. Nothing is kept for connections that are not there.
/// No connection delays another: one that takes nothing has its messages queued, which are shared by all of them, and is aborted above
/// <see cref="ByteStreamConnectionsOptions.MaxPending"/> or after <see cref="ByteStreamConnectionsOptions.PendingTimeout"/>, with
/// <see cref="ConnectionCloseReason.SlowConsumer"/>.
/// </para>
/// <para>All members may be called from any thread.</para>
/// </remarks>
/// <example>
/// <code>
/// app.MapPost("/alert", async (ByteStreamConnections connections, HttpRequest request) =&gt;
///     await connections.Group("operators").SendAsync("alert\n"u8.ToArray()));
/// </code>
/// </example>
public sealed class ByteStreamConnections : IGroupsReport
{
    private readonly ConcurrentDictionary<string, ByteStreamMember> _members = new(StringComparer.Ordinal);
    private readonly MemberGroups _groups;
    private readonly MemberGroups _users;
    private readonly MemberGroup _all = new(string.Empty, groups: null);
    private long _maxPending;
    private long _pendingTimeout;
    private long _lastNumber;
    private long _sends;
    private long _deliveries;

    /// <summary>Makes the connections of a server without services; an application has them from <c>AddByteStreams</c>.</summary>
    /// <param name="options">The options; the defaults where it is null.</param>
    /// <param name="logger">Receives failed deliveries; may be null.</param>
    public ByteStreamConnections(ByteStreamConnectionsOptions? options = null, ILogger<ByteStreamConnections>? logger = null)
        : this(options, logger, backplane: null)
    {
    }

    /// <param name="options">The options; the defaults where it is null.</param>
    /// <param name="logger">Receives failed deliveries; may be null.</param>
    /// <param name="backplane">Carries messages to other hosts; null on one host.</param>
    internal ByteStreamConnections(ByteStreamConnectionsOptions? options, ILogger<ByteStreamConnections>? logger, ByteStreamBackplane? backplane)
    {
        options ??= new ByteStreamConnectionsOptions();
        (_maxPending, _pendingTimeout, TimeProvider) = (options.MaxPending, options.PendingTimeout.Ticks, options.TimeProvider);
        Logger = logger ?? NullLogger<ByteStreamConnections>.Instance;
        Backplane = backplane;
        _groups = new MemberGroups(TargetKind.Group, backplane);
        _users = new MemberGroups(TargetKind.User, backplane);
        backplane?.Attach(this);
    }

    /// <summary>Every registered connection.</summary>
    public ByteStreamTarget All => new(this, TargetKind.All, string.Empty);

    /// <summary>The number of registered connections.</summary>
    public int Count => _all.Count;

    /// <summary>The number of groups that have a member.</summary>
    public int GroupCount => _groups.Count;

    /// <summary>Messages that were sent since the start, each counted once.</summary>
    public long Sends => Interlocked.Read(ref _sends);

    /// <summary>Messages that were written to connections since the start, each counted once for each connection.</summary>
    public long Deliveries => Interlocked.Read(ref _deliveries);

    internal ILogger Logger { get; }

    /// <summary>Carries messages to other hosts; null on one host.</summary>
    internal ByteStreamBackplane? Backplane { get; }

    /// <summary>The effective limit; a reload of the configuration changes it.</summary>
    internal long MaxPending
    {
        get => Interlocked.Read(ref _maxPending);
        set => Interlocked.Exchange(ref _maxPending, value);
    }

    /// <summary>As <see cref="MaxPending"/>.</summary>
    internal TimeSpan PendingTimeout
    {
        get => TimeSpan.FromTicks(Interlocked.Read(ref _pendingTimeout));
        set => Interlocked.Exchange(ref _pendingTimeout, value.Ticks);
    }

    internal TimeProvider TimeProvider { get; }

    int IGroupsReport.Registered => Count;

    int IGroupsReport.Groups => GroupCount;

    /// <summary>One connection.</summary>
    /// <param name="id">Its <see cref="ByteStreamMember.Id"/>. There need not be one: what is sent to it then is dropped.</param>
    public ByteStreamTarget Connection(string id)
    {
        TargetName.Check(id);
        return new ByteStreamTarget(this, TargetKind.Connection, id);
    }

    /// <summary>The connections that have joined a group.</summary>
    /// <param name="name">Its name, case-sensitive. A group exists while it has a member.</param>
    public ByteStreamTarget Group(string name)
    {
        TargetName.Check(name);
        return new ByteStreamTarget(this, TargetKind.Group, name);
    }

    /// <summary>The connections that were registered for a user.</summary>
    /// <param name="id">The user's id, case-sensitive.</param>
    public ByteStreamTarget User(string id)
    {
        TargetName.Check(id);
        return new ByteStreamTarget(this, TargetKind.User, id);
    }

    /// <summary>The groups that have a member, the largest first.</summary>
    /// <param name="limit">How many at most: 100 by default, at least 1.</param>
    /// <returns>A snapshot.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The limit is zero or less.</exception>
    public IReadOnlyList<GroupSnapshot> Groups(int limit = 100)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit);
        return _groups.Largest(limit);
    }

    /// <summary>Registers a connection, so that others can send to it. To be called by its handler.</summary>
    /// <param name="writer">The connection's writer, after <c>StartTlsAsync</c> where that is used.</param>
    /// <param name="user">The user that it belongs to; null for none. A user may have several connections.</param>
    /// <param name="metadata">What presence shows of it. Copied.</param>
    /// <returns>The registration. It ends with the connection; disposing of it ends it before.</returns>
    /// <exception cref="InvalidOperationException">The connection is registered already.</exception>
    public ByteStreamMember Register(ByteStreamWriter writer, string? user = null, ReadOnlyMemory<byte> metadata = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        if (user is not null)
        {
            TargetName.Check(user);
        }

        return Add(writer, user, metadata, isExclusive: false);
    }

    /// <summary>
    /// Registers a connection as the only one of its user: those that were registered for the user before are closed, with the reason
    /// <see cref="ConnectionCloseReason.Replaced"/>. What was written to them is delivered; messages that
    /// wait for one that does not read are dropped. To be called by the connection's handler.
    /// </summary>
    /// <param name="writer">The connection's writer, after <c>StartTlsAsync</c> where that is used.</param>
    /// <param name="user">The user.</param>
    /// <param name="metadata">What presence shows of it. Copied.</param>
    /// <returns>The registration. Of two that are made at the same time, the later one stays.</returns>
    /// <exception cref="InvalidOperationException">The connection is registered already.</exception>
    public ByteStreamMember RegisterExclusive(ByteStreamWriter writer, string user, ReadOnlyMemory<byte> metadata = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        TargetName.Check(user);
        ByteStreamMember member = Add(writer, user, metadata, isExclusive: true);
        if (ReplaceOlder(user, member.Number, member.Id) is not null)
        {
            // A later registration was faster, and did not find this one.
            member.Replace();
        }

        Backplane?.Replace(user, member.Number, member.Id);
        return member;
    }

    /// <summary>Ends the connections of a user that were registered before another one, of this host or another.</summary>
    /// <param name="user">The user.</param>
    /// <param name="number">The number of the other one.</param>
    /// <param name="id">Its id, which decides between equal numbers of two hosts.</param>
    /// <returns>A newer one that is to be the only one, so that it ends the other; null without one.</returns>
    internal ByteStreamMember? ReplaceOlder(string user, long number, string id)
    {
        Observe(number);
        ByteStreamMember? newest = null;
        if (_users.Find(user) is MemberGroup group)
        {
            foreach (Membership? membership in group.Members)
            {
                if (membership?.Member is not ByteStreamMember other)
                {
                    continue;
                }

                int order = other.Number == number ? string.CompareOrdinal(other.Id, id) : other.Number.CompareTo(number);
                if (order < 0)
                {
                    other.Replace();
                }
                else if (order > 0 && other.IsExclusive && other.Number > (newest?.Number ?? 0))
                {
                    newest = other;
                }
            }
        }

        return newest;
    }

    internal async ValueTask JoinAsync(ByteStreamMember member, string group, CancellationToken cancellationToken)
    {
        _groups.Join(group, member);
        if (_groups.Find(group)?.Announced is Task announced)
        {
            await announced.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    internal bool Leave(ByteStreamMember member, string group) => _groups.Leave(group, member);

    private ByteStreamMember Add(ByteStreamWriter writer, string? user, ReadOnlyMemory<byte> metadata, bool isExclusive)
    {
        long number = NextNumber();
        // A bare pipe has no id.
        string id = writer.ConnectionId ?? string.Create(CultureInfo.InvariantCulture, $"pipe-{number}");
        if (Backplane is not null)
        {
            id = $"{Backplane.HostId}:{id}";
        }

        var member = new ByteStreamMember(this, writer, number, id, user, metadata.ToArray(), isExclusive);
        if (!_members.TryAdd(id, member))
        {
            throw new InvalidOperationException($"The connection {id} is registered already. Dispose of its ByteStreamMember first.");
        }

        member.TryEnter(_all);
        if (user is not null)
        {
            _users.Join(user, member);
        }

        member.RemoveWithTheConnection();
        return member;
    }

    /// <summary>Removes a member whose last membership has ended.</summary>
    internal void Remove(ByteStreamMember member) => _members.TryRemove(KeyValuePair.Create(member.Id, member));

    /// <summary>Writes a message to every connection of a target, and queues it for other hosts.</summary>
    internal ValueTask SendAsync(TargetKind kind, string name, string? except, ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        Backplane?.Check(message);
        Interlocked.Increment(ref _sends);
        Deliver(kind, name, except, message.Span);
        return Backplane is null ? default : Backplane.SendAsync(kind, name, except, message, cancellationToken);
    }

    /// <summary>Writes a message to every connection of a target on this host. Never waits.</summary>
    internal void Deliver(TargetKind kind, string name, string? except, ReadOnlySpan<byte> message)
    {
        int deliveries = 0;
        byte[]? shared = null;
        if (kind == TargetKind.Connection)
        {
            if (_members.TryGetValue(name, out ByteStreamMember? member) && name != except && member.Deliver(message, ref shared))
            {
                deliveries = 1;
            }
        }
        else if (Find(kind, name) is MemberGroup group)
        {
            int last = group.LastNumber;
            foreach (Membership? membership in group.Members)
            {
                // The difference, because the number wraps around.
                if (membership is not null && unchecked(membership.Number - last) <= 0 && membership.Member.Id != except && membership.Member.Deliver(message, ref shared))
                {
                    deliveries++;
                }
            }
        }

        Interlocked.Add(ref _deliveries, deliveries);
    }

    internal async ValueTask<PresenceSnapshot> PresenceAsync(TargetKind kind, string name, string? except, CancellationToken cancellationToken)
    {
        List<PresentConnection> present = Presence(kind, name, except);
        bool isComplete = Backplane is null || await Backplane.AskAsync(kind, name, except, present, cancellationToken).ConfigureAwait(false);
        return new PresenceSnapshot(present, isComplete);
    }

    /// <summary>The connections of a target on this host.</summary>
    internal List<PresentConnection> Presence(TargetKind kind, string name, string? except)
    {
        var present = new List<PresentConnection>();
        if (kind == TargetKind.Connection)
        {
            if (_members.TryGetValue(name, out ByteStreamMember? member) && name != except)
            {
                present.Add(member.Describe());
            }
        }
        else if (Find(kind, name) is MemberGroup group)
        {
            foreach (Membership? membership in group.Members)
            {
                if (membership?.Member is ByteStreamMember member && member.Id != except)
                {
                    present.Add(member.Describe());
                }
            }
        }

        return present;
    }

    /// <summary>
    /// The time where that is greater than the last number, so that the connections of several hosts are in the order of their registration as
    /// well as their clocks agree.
    /// </summary>
    private long NextNumber()
    {
        while (true)
        {
            long last = Interlocked.Read(ref _lastNumber);
            long next = Math.Max(last + 1, TimeProvider.GetUtcNow().UtcTicks);
            if (Interlocked.CompareExchange(ref _lastNumber, next, last) == last)
            {
                return next;
            }
        }
    }

    /// <summary>Later numbers are greater than this one.</summary>
    private void Observe(long number)
    {
        long last = Interlocked.Read(ref _lastNumber);
        while (number > last)
        {
            long found = Interlocked.CompareExchange(ref _lastNumber, number, last);
            if (found == last)
            {
                return;
            }

            last = found;
        }
    }

    private MemberGroup? Find(TargetKind kind, string name) => kind switch
    {
        TargetKind.All => _all,
        TargetKind.Group => _groups.Find(name),
        _ => _users.Find(name),
    };
}
