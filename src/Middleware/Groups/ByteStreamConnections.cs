using System.Collections.Concurrent;
using System.Globalization;
using ByteStreams.Connections;
using ByteStreams.Groups;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams;

/// <summary>
/// Sends messages to registered connections: to one connection, to a user, to a group, or to all. <c>AddByteStreams</c> registers it as a
/// singleton; handlers, HTTP endpoints and background services inject it.
/// </summary>
/// <remarks>
/// <para>
/// A handler registers its connection and joins groups. A handler that calls <c>StartTlsAsync</c> registers after it. The registration is removed
/// when the connection has closed, or when the <see cref="ByteStreamMember"/> is disposed.
/// </para>
/// <para>
/// <b>Ownership.</b> The handler keeps the writer. A message is sent as one <see cref="ByteStreamWriter.Write(ReadOnlySpan{byte})"/>: it is
/// never interleaved with the bytes of another <c>Write</c>, but it can be placed between two calls. A handler that writes one answer by several
/// calls must expect messages between them. A delivery invalidates memory from <see cref="ByteStreamWriter.GetMemory"/>: the handler of a
/// registered connection uses <c>Write</c>.
/// </para>
/// <para>
/// <b>Guarantees.</b> Delivery is at most once, to every connection that is open, registered for the target, and keeps up. Messages of one
/// sender arrive in the order of the calls; messages of different senders have no order. Messages are not stored for absent connections.
/// A slow connection does not delay other connections: its messages are queued, with one copy of the bytes for all queues. The connection is
/// aborted with <see cref="ConnectionCloseReason.SlowConsumer"/> if the queue would exceed
/// <see cref="ByteStreamConnectionsOptions.MaxPending"/>, or after <see cref="ByteStreamConnectionsOptions.PendingTimeout"/>.
/// </para>
/// <para>All members are thread-safe.</para>
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

    /// <summary>Creates an instance for a server without dependency injection. With it, use the singleton of <c>AddByteStreams</c>.</summary>
    /// <param name="options">The options, which are read once; null for the defaults.</param>
    /// <param name="logger">Logs failed deliveries and slow consumers; null for no log.</param>
    public ByteStreamConnections(ByteStreamConnectionsOptions? options = null, ILogger<ByteStreamConnections>? logger = null)
        : this(options, logger, backplane: null)
    {
    }

    /// <param name="options">The options; null for the defaults.</param>
    /// <param name="logger">Logs failed deliveries and slow consumers; null for no log.</param>
    /// <param name="backplane">Carries messages to other hosts; null without a cluster.</param>
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

    /// <summary>The target of all registered connections; in a cluster, those of every host.</summary>
    public ByteStreamTarget All => new(this, TargetKind.All, string.Empty);

    /// <summary>The number of registered connections on this host.</summary>
    public int Count => _all.Count;

    /// <summary>The number of groups with at least one member on this host.</summary>
    public int GroupCount => _groups.Count;

    /// <summary>The number of messages sent on this host since the start. A message counts once, regardless of the number of receivers.</summary>
    public long Sends => Interlocked.Read(ref _sends);

    /// <summary>
    /// The number of deliveries to connections of this host since the start: a message counts once for each connection that it was written to or
    /// queued for.
    /// </summary>
    public long Deliveries => Interlocked.Read(ref _deliveries);

    internal ILogger Logger { get; }

    /// <summary>Carries messages to other hosts; null without a cluster.</summary>
    internal ByteStreamBackplane? Backplane { get; }

    /// <summary>The effective limit, in bytes. A configuration reload changes it.</summary>
    internal long MaxPending
    {
        get => Interlocked.Read(ref _maxPending);
        set => Interlocked.Exchange(ref _maxPending, value);
    }

    /// <summary>The effective timeout. A configuration reload changes it.</summary>
    internal TimeSpan PendingTimeout
    {
        get => TimeSpan.FromTicks(Interlocked.Read(ref _pendingTimeout));
        set => Interlocked.Exchange(ref _pendingTimeout, value.Ticks);
    }

    internal TimeProvider TimeProvider { get; }

    int IGroupsReport.Registered => Count;

    int IGroupsReport.Groups => GroupCount;

    /// <summary>Gets the target of one connection.</summary>
    /// <param name="id">The connection's <see cref="ByteStreamMember.Id"/>. Messages to an unknown id are dropped without an error.</param>
    /// <exception cref="ArgumentException">The id is null, empty, or not valid Unicode.</exception>
    public ByteStreamTarget Connection(string id)
    {
        TargetName.Check(id);
        return new ByteStreamTarget(this, TargetKind.Connection, id);
    }

    /// <summary>Gets the target of the connections that have joined a group.</summary>
    /// <param name="name">The group's name, case-sensitive. A group exists while it has a member. Messages to an empty group are dropped.</param>
    /// <exception cref="ArgumentException">The name is null, empty, or not valid Unicode.</exception>
    public ByteStreamTarget Group(string name)
    {
        TargetName.Check(name);
        return new ByteStreamTarget(this, TargetKind.Group, name);
    }

    /// <summary>Gets the target of the connections that are registered for a user.</summary>
    /// <param name="id">The user's id, case-sensitive. Messages to a user without a connection are dropped.</param>
    /// <exception cref="ArgumentException">The id is null, empty, or not valid Unicode.</exception>
    public ByteStreamTarget User(string id)
    {
        TargetName.Check(id);
        return new ByteStreamTarget(this, TargetKind.User, id);
    }

    /// <summary>Returns the groups with a member on this host, largest first. The call visits and sorts all groups.</summary>
    /// <param name="limit">The maximum number of groups returned: 100 by default, at least 1.</param>
    /// <returns>A snapshot, with the members of this host counted.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="limit"/> is zero or negative.</exception>
    public IReadOnlyList<GroupSnapshot> Groups(int limit = 100)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit);
        return _groups.Largest(limit);
    }

    /// <summary>Registers a connection as a receiver of messages. The connection's handler calls it.</summary>
    /// <param name="writer">The connection's writer. If the handler uses <c>StartTlsAsync</c>, register after it.</param>
    /// <param name="user">The user that the connection belongs to; null for none. A user may have several connections.</param>
    /// <param name="metadata">The bytes that presence returns for the connection; empty by default. Copied.</param>
    /// <returns>The registration. It is removed when the connection closes, or earlier when it is disposed.</returns>
    /// <exception cref="ArgumentException">The user is empty or not valid Unicode.</exception>
    /// <exception cref="InvalidOperationException">The connection is already registered.</exception>
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
    /// Registers a connection as the only one of its user. Earlier connections of the user are closed with the reason
    /// <see cref="ConnectionCloseReason.Replaced"/>, after the bytes already written to them are sent; messages that are queued for a peer that
    /// does not read are dropped. The connection's handler calls it.
    /// </summary>
    /// <param name="writer">The connection's writer. If the handler uses <c>StartTlsAsync</c>, register after it.</param>
    /// <param name="user">The user.</param>
    /// <param name="metadata">The bytes that presence returns for the connection; empty by default. Copied.</param>
    /// <returns>
    /// The registration. Of two concurrent calls, the later registration remains. In a cluster the replacement on other hosts is asynchronous and
    /// best effort, and the hosts' clocks decide which registration is later.
    /// </returns>
    /// <exception cref="ArgumentException">The user is null, empty, or not valid Unicode.</exception>
    /// <exception cref="InvalidOperationException">The connection is already registered.</exception>
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

    /// <summary>Closes the user's connections on this host that are older than a given connection of any host.</summary>
    /// <param name="user">The user.</param>
    /// <param name="number">The registration number of the given connection.</param>
    /// <param name="id">The id of the given connection: the tie-break for equal numbers of two hosts.</param>
    /// <returns>A newer exclusive connection on this host, which replaces the given one; null if there is none.</returns>
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
        // A writer over a PipeWriter has no connection id.
        string id = writer.ConnectionId ?? string.Create(CultureInfo.InvariantCulture, $"pipe-{number}");
        if (Backplane is not null)
        {
            id = $"{Backplane.HostId}:{id}";
        }

        var member = new ByteStreamMember(this, writer, number, id, user, metadata.ToArray(), isExclusive);
        if (!_members.TryAdd(id, member))
        {
            throw new InvalidOperationException($"Connection {id} is already registered. Dispose its ByteStreamMember first.");
        }

        member.TryEnter(_all);
        if (user is not null)
        {
            _users.Join(user, member);
        }

        member.RemoveOnClose();
        return member;
    }

    /// <summary>Removes a member from the table of ids, after it has left all groups.</summary>
    internal void Remove(ByteStreamMember member) => _members.TryRemove(KeyValuePair.Create(member.Id, member));

    /// <summary>Writes a message to every connection of a target on this host, and queues it for other hosts.</summary>
    internal ValueTask SendAsync(TargetKind kind, string name, string? except, ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        Backplane?.Check(message);
        Interlocked.Increment(ref _sends);
        Deliver(kind, name, except, message.Span);
        return Backplane is null ? default : Backplane.SendAsync(kind, name, except, message, cancellationToken);
    }

    /// <summary>Writes a message to every connection of a target on this host. Never blocks.</summary>
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
                // Compared by difference, because the number wraps.
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

    /// <summary>Returns the connections of a target on this host.</summary>
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
    /// Returns the current UTC ticks, or the last number plus one if that is greater. The numbers order registrations across hosts to the precision
    /// of their clocks.
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

    /// <summary>Raises the last number, so that later registrations have numbers greater than a number seen from another host.</summary>
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
