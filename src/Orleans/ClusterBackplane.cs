using System.Globalization;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using ByteStreams.Admission;
using ByteStreams.Cluster.Links;
using ByteStreams.Groups;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Cluster;

/// <summary>
/// The links of this host to the other hosts. Independent of Orleans except for addresses: <see cref="MembershipWatch"/> provides the membership,
/// and <see cref="ILinkTransport"/> carries the batches.
/// </summary>
internal sealed class ClusterBackplane : ByteStreamBackplane, ILinkOwner, IDisposable
{
    private readonly SiloAddress _self;
    private readonly ByteStreamClusterOptions _options;
    private readonly ILinkTransport _transport;
    private readonly ClusterMetrics _metrics;
    private readonly ConnectionTotal? _total;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private readonly LocalInterest _interest = new();
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ITimer _beat;
    private ByteStreamConnections? _connections;

    // Copy-on-write: read without the lock.
    private volatile Peer[] _peers = [];

    // Completes when the last of the messages that were sent before this host was ready is queued.
    private volatile Task _early;
    private Func<SiloAddress, bool> _isDead = _ => false;
    private long _epoch;
    private bool _isMember;
    private bool _isStopped;
    private volatile string? _notReady = "Not ready: this host has not joined the cluster.";
    private volatile string? _storeError;
    private volatile string? _evicted;

    public ClusterBackplane(
        SiloAddress self, ByteStreamClusterOptions options, ILinkTransport transport, ClusterMetrics metrics, ConnectionTotal? total, ILogger logger)
    {
        _self = self;
        _options = options;
        _transport = transport;
        _metrics = metrics;
        _total = total;
        _logger = logger;
        _early = _ready.Task;
        HostId = GetHostId(self);
        metrics.Hosts = () => _peers.Length + (_isMember ? 1 : 0);
        metrics.Suspects = () => _peers.Count(peer => peer.Outgoing.IsSuspect);
        metrics.Queued = () => _peers.Sum(peer => peer.Outgoing.Queued);
        metrics.IsReady = () => NotReadyReason is null;
        // Five heartbeats in a LinkTimeout.
        TimeSpan interval = options.LinkTimeout / 5;
        if (total is not null && options.ClusterMaxConnections > 0)
        {
            // Without the number of hosts there is no share: each connection would be one too many for the others.
            total.Share = 0;
        }

        _beat = options.TimeProvider.CreateTimer(static self => ((ClusterBackplane)self!).Beat(), this, interval, interval);
    }

    /// <summary>Called once, after the eviction of this host is detected.</summary>
    public Action<string>? WhenEvicted { get; set; }

    /// <summary>Called for a batch of an unknown sender, to refresh the membership.</summary>
    public Action? WhenUnknown { get; set; }

    public override string HostId { get; }

    public override string? NotReadyReason => _evicted ?? _storeError ?? _notReady;

    public override Task WhenReady => _ready.Task;

    public override bool IsEvicted => _evicted is not null;

    /// <summary>The other hosts.</summary>
    public IReadOnlyList<Peer> Peers => _peers;

    /// <summary>Returns the id of a host: a 64-bit hash of its address and process generation, as 13 base-32 digits.</summary>
    public static string GetHostId(SiloAddress address)
    {
        const string Digits = "0123456789abcdefghjkmnpqrstvwxyz";
        ulong hash = XxHash3.HashToUInt64(MemoryMarshal.AsBytes(address.ToParsableString().AsSpan()));
        return string.Create(13, hash, static (to, rest) =>
        {
            for (int i = to.Length - 1; i >= 0; i--, rest >>= 5)
            {
                to[i] = Digits[(int)(rest & 31)];
            }
        });
    }

    public override void Attach(ByteStreamConnections connections) => _connections = connections;

    public override Task Announce(TargetKind kind, string name)
    {
        ulong group = GroupHash.Compute(kind, name);
        List<Task>? pending = null;
        lock (_gate)
        {
            if (!_interest.Add(group))
            {
                // Another group has the same hash, and is announced or in flight.
                return Task.WhenAll(_peers.Select(peer => peer.Outgoing.CatchUpAsync())).WaitAsync(_options.JoinTimeout, _options.TimeProvider).IgnoreTimeout();
            }

            foreach (Peer peer in _peers)
            {
                Task sending = peer.Outgoing.SendInterest(LinkEntry.Interest, group);
                if (!sending.IsCompleted)
                {
                    (pending ??= []).Add(sending);
                }
            }
        }

        return pending is null ? Task.CompletedTask : Task.WhenAll(pending).WaitAsync(_options.JoinTimeout, _options.TimeProvider).IgnoreTimeout();
    }

    public override void Withdraw(TargetKind kind, string name)
    {
        ulong group = GroupHash.Compute(kind, name);
        lock (_gate)
        {
            if (_interest.Remove(group))
            {
                foreach (Peer peer in _peers)
                {
                    _ = peer.Outgoing.SendInterest(LinkEntry.Withdrawal, group);
                }
            }
        }
    }

    public override void Check(ReadOnlyMemory<byte> message)
    {
        if (message.Length > _options.LinkQueue)
        {
            throw new ArgumentException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"The message has {message.Length} bytes and exceeds {ByteStreamClusterOptions.Section}:LinkQueue, {_options.LinkQueue}. Split the message, or raise the limit."),
                nameof(message));
        }
    }

    public override ValueTask SendAsync(TargetKind kind, string name, string? except, ReadOnlyMemory<byte> message, CancellationToken cancellationToken) =>
        _early.IsCompleted ? QueueAsync(kind, name, except, message, cancellationToken) : SendEarlyAsync(kind, name, except, message, cancellationToken);

    private ValueTask QueueAsync(TargetKind kind, string name, string? except, ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        Peer[] peers = _peers;
        if (peers.Length == 0 || (kind == TargetKind.Connection && name.StartsWith(HostId, StringComparison.Ordinal)))
        {
            return default;
        }

        ulong group = kind is TargetKind.Group or TargetKind.User ? GroupHash.Compute(kind, name) : 0;
        ValueTask first = default;
        List<ValueTask>? more = null;
        foreach (Peer peer in peers)
        {
            if (!HasTarget(peer, kind, name, group))
            {
                continue;
            }

            ValueTask queuing = peer.Outgoing.SendAsync(kind, name, except, message, cancellationToken);
            if (queuing.IsCompletedSuccessfully)
            {
                continue;
            }

            if (first.IsCompletedSuccessfully)
            {
                first = queuing;
            }
            else
            {
                (more ??= []).Add(queuing);
            }
        }

        return more is null ? first : WhenAll(first, more);
    }

    public override async ValueTask<bool> AskAsync(
        TargetKind kind, string name, string? except, List<PresentConnection> present, CancellationToken cancellationToken)
    {
        ulong group = kind is TargetKind.Group or TargetKind.User ? GroupHash.Compute(kind, name) : 0;
        Peer[] asked = [.. _peers.Where(peer => !peer.Outgoing.IsClosed && HasTarget(peer, kind, name, group))];
        var question = new PresenceQuestion { Kind = (byte)kind, Name = name, Except = except };
        bool isComplete = _notReady is null && _evicted is null;
        IReadOnlyList<PresentConnection>?[] answers =
            await Task.WhenAll(asked.Select(peer => AskAsync(peer, question, cancellationToken))).ConfigureAwait(false);
        foreach (IReadOnlyList<PresentConnection>? found in answers)
        {
            present.AddRange(found ?? []);
            isComplete &= found is not null;
        }

        return isComplete;
    }

    public override void Replace(string user, long number, string id)
    {
        foreach (Peer peer in _peers)
        {
            peer.Outgoing.Replace(user, number, id);
        }
    }

    /// <summary>Applies a batch of another host.</summary>
    public LinkReply Receive(LinkBatch batch)
    {
        foreach (Peer peer in _peers)
        {
            if (peer.Address.Equals(batch.Sender))
            {
                return peer.Incoming.Apply(batch);
            }
        }

        lock (_gate)
        {
            if (_isDead(batch.Sender))
            {
                _metrics.Fenced();
                return LinkReply.Fenced;
            }

            if (_isStopped)
            {
                return LinkReply.Leaving;
            }
        }

        WhenUnknown?.Invoke();
        return LinkReply.Unknown;
    }

    /// <summary>Answers a presence query of another host.</summary>
    public IReadOnlyList<PresentConnection> Answer(PresenceQuestion question) =>
        _connections!.Presence((TargetKind)question.Kind, question.Name, question.Except);

    /// <summary>Applies a membership change.</summary>
    /// <param name="members">The live members, including this host if it is one.</param>
    /// <param name="isDead">Returns whether a host has left the cluster or was evicted.</param>
    public void Update(IReadOnlySet<SiloAddress> members, Func<SiloAddress, bool> isDead)
    {
        Peer[] gone;
        var joined = new List<Peer>();
        lock (_gate)
        {
            if (_isStopped)
            {
                return;
            }

            _isDead = isDead;
            _isMember = members.Contains(_self);
            gone = [.. _peers.Where(peer => !members.Contains(peer.Address))];
            foreach (SiloAddress added in members.Where(member => _evicted is null && !member.Equals(_self) && !_peers.Any(peer => peer.Address.Equals(member))))
            {
                joined.Add(CreatePeer(added));
                // Before the peer is published: later changes of the groups are sent to it as well.
                joined[^1].Outgoing.Begin(_interest);
            }

            _peers = [.. _peers.Except(gone), .. joined];
        }

        foreach (Peer peer in gone)
        {
            ClusterLog.HostLeft(_logger, peer.Address);
            peer.Incoming.Fence();
            peer.Outgoing.Dispose();
        }

        foreach (Peer peer in joined)
        {
            ClusterLog.HostJoined(_logger, peer.Address);
        }

        if (isDead(_self))
        {
            Evict("the membership store lists it as dead");
        }

        UpdateShare();
        UpdateReadiness();
    }

    /// <summary>Sets or clears (null) the readiness error of the membership store.</summary>
    public void SetStoreError(string? error) => _storeError = error;

    /// <summary>Handles the eviction of this host: stops its links and raises <see cref="WhenEvicted"/>. Further calls have no effect.</summary>
    public void Evict(string cause)
    {
        Peer[] peers;
        lock (_gate)
        {
            if (_evicted is not null || _isStopped)
            {
                return;
            }

            _evicted = $"Not ready: this host was evicted from the cluster: {cause}.";
            peers = _peers;
        }

        _ready.TrySetCanceled();
        foreach (Peer peer in peers)
        {
            // Incoming links stay open: batches of the other hosts are still delivered.
            peer.Outgoing.Dispose();
        }

        ClusterLog.Evicted(_logger, cause, _options.OnEvicted);
        WhenEvicted?.Invoke(cause);
    }

    /// <summary>Waits until the other hosts have acknowledged the queued batches, at most for LinkTimeout.</summary>
    public async Task FlushAsync(CancellationToken cancellationToken)
    {
        try
        {
            await Task.WhenAll(_peers.Select(peer => peer.Outgoing.FlushAsync())).WaitAsync(_options.LinkTimeout, _options.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception late) when (late is TimeoutException or OperationCanceledException)
        {
            ClusterLog.FlushEnded(_logger, _peers.Sum(peer => peer.Outgoing.Queued));
        }
    }

    /// <summary>Closes the links, because this host leaves the cluster.</summary>
    public void Dispose()
    {
        Peer[] peers;
        lock (_gate)
        {
            _isStopped = true;
            peers = _peers;
            _peers = [];
            _notReady = "Not ready: this host has left the cluster.";
        }

        _ready.TrySetCanceled();
        _beat.Dispose();
        foreach (Peer peer in peers)
        {
            peer.Outgoing.Dispose();
        }
    }

    long ILinkOwner.NextEpoch() => Interlocked.Increment(ref _epoch);

    void ILinkOwner.WithInterest(Action<LocalInterest> action)
    {
        lock (_gate)
        {
            action(_interest);
        }
    }

    void ILinkOwner.OnLinkChanged() => UpdateReadiness();

    void ILinkOwner.OnFenced(SiloAddress by) => Evict($"host {by} rejected its messages");

    void ILinkOwner.OnFailed(Exception fault) => Evict($"a link failed: {fault.Message}");

    private static bool HasTarget(Peer peer, TargetKind kind, string name, ulong group) => kind switch
    {
        TargetKind.All => true,
        TargetKind.Connection => name.Length > peer.HostId.Length && name[peer.HostId.Length] == ':' && name.StartsWith(peer.HostId, StringComparison.Ordinal),
        // The receiver resolves the name itself.
        _ => peer.Incoming.MayHave(group),
    };

    private static async ValueTask WhenAll(ValueTask first, List<ValueTask> more)
    {
        // All sends must complete before the caller reuses the memory.
        Exception? failure = await Failure(first).ConfigureAwait(false);
        foreach (ValueTask next in more)
        {
            failure = await Failure(next).ConfigureAwait(false) ?? failure;
        }

        if (failure is not null)
        {
            throw failure;
        }

        static async ValueTask<Exception?> Failure(ValueTask task)
        {
            try
            {
                await task.ConfigureAwait(false);
                return null;
            }
            catch (OperationCanceledException canceled)
            {
                return canceled;
            }
        }
    }

    /// <summary>Delays a send until this host is ready, because it does not know the groups of the other hosts before that. Keeps the order.</summary>
    private async ValueTask SendEarlyAsync(
        TargetKind kind, string name, string? except, ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        var queued = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task before;
        lock (_gate)
        {
            (before, _early) = (_early, queued.Task);
        }

        ValueTask queuing;
        try
        {
            await before.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellationToken.ThrowIfCancellationRequested();
            queuing = QueueAsync(kind, name, except, message, cancellationToken);
        }
        finally
        {
            // A sender that gives up must not let the next one overtake those before it.
            _ = before.ContinueWith(_ => queued.TrySetResult(), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }

        await queuing.ConfigureAwait(false);
    }

    private async Task<IReadOnlyList<PresentConnection>?> AskAsync(Peer peer, PresenceQuestion question, CancellationToken cancellationToken)
    {
        if (peer.Outgoing.IsSuspect)
        {
            return null;
        }

        try
        {
            Task<IReadOnlyList<PresentConnection>> answer = _transport.AskAsync(peer.Address, question);
            // The call may fail after the wait has ended.
            answer.ObserveException();
            return await answer.WaitAsync(_options.LinkTimeout, _options.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            ClusterLog.QuestionFailed(_logger, failure, peer.Address);
            return null;
        }
    }

    private Peer CreatePeer(SiloAddress address)
    {
        var outgoing = new OutgoingLink(_self, address, this, _transport, _options, _metrics, _logger);
        var incoming = new IncomingLink(address, _connections!, _options, _metrics, _logger, outgoing.Replace, UpdateReadiness);
        return new Peer(address, GetHostId(address), outgoing, incoming);
    }

    private void Beat()
    {
        foreach (Peer peer in _peers)
        {
            peer.Outgoing.Beat();
        }
    }

    /// <summary>Sets readiness when this host is a member and has the groups of every responsive host.</summary>
    private void UpdateReadiness()
    {
        if (_ready.Task.IsCompleted)
        {
            return;
        }

        lock (_gate)
        {
            if (!_isMember || _isStopped)
            {
                return;
            }

            SiloAddress[] missing = [.. _peers.Where(peer => !peer.Incoming.Interest.IsKnown && IsAwaited(peer.Outgoing)).Select(peer => peer.Address)];
            if (missing.Length > 0)
            {
                _notReady = $"Not ready: waiting for the groups of {string.Join(", ", missing.Select(host => host.ToString()))}.";
                return;
            }

            _notReady = null;
            if (!_ready.TrySetResult())
            {
                return;
            }
        }

        ClusterLog.Ready(_logger, _peers.Length);
    }

    /// <summary>Whether this host becomes ready only with the groups of another host. Not if that is leaving, or does not answer at all.</summary>
    private static bool IsAwaited(OutgoingLink link) => !link.IsClosed && (!link.IsSuspect || link.IsUnknownThere);

    private void UpdateShare()
    {
        // Before this host is a member it has no share.
        if (_options.ClusterMaxConnections == 0 || _total is null || !_isMember)
        {
            return;
        }

        int hosts = _peers.Length + 1;
        int share = Math.Max(1, _options.ClusterMaxConnections / hosts);
        if (_total.Share != share)
        {
            _total.Share = share;
            ClusterLog.Share(_logger, share, _options.ClusterMaxConnections, hosts);
        }
    }
}
