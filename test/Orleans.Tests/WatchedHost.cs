using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Net;
using System.Threading.Channels;
using ByteStreams.Cluster.Links;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Cluster.Tests;

/// <summary>A host alone in its cluster, with a fake membership, a fake store and a fake clock.</summary>
internal sealed class WatchedHost : IAsyncDisposable
{
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
    private readonly FakeLogger<ClusterBackplane> _log = new();
    private readonly FakeLifecycle _lifecycle = new();
    private readonly ClusterMetrics _metrics = new(factory: null);
    private readonly MembershipWatch _watch;

    public WatchedHost()
    {
        var options = new ByteStreamClusterOptions { TimeProvider = _time };
        Backplane = new ClusterBackplane(Address, options, new SilentTransport(), _metrics, total: null, _log) { WhenEvicted = Evictions.Enqueue };
        var connections = new ByteStreamConnections(new ByteStreamConnectionsOptions { TimeProvider = _time }, logger: null, Backplane);
        Store.Read = Entry;
        Membership.Publish(1, (Address, SiloStatus.Active));
        _watch = new MembershipWatch(Backplane, Membership, Store, new FakeSilo(Address), options, connections, _log);
        _watch.Participate(_lifecycle);
    }

    public SiloAddress Address { get; } = At(1);

    public ClusterBackplane Backplane { get; }

    public FakeStore Store { get; } = new();

    public FakeMembership Membership { get; } = new();

    public ConcurrentQueue<string> Evictions { get; } = [];

    public static SiloAddress At(int number) => SiloAddress.New(new IPEndPoint(IPAddress.Loopback, 11110 + number), 1000 + number);

    public static Task<MembershipTableData> NoEntry() => Task.FromResult(new MembershipTableData(new TableVersion(1, "1")));

    public Task<MembershipTableData> Entry() => Task.FromResult(
        new MembershipTableData(Tuple.Create(new MembershipEntry { SiloAddress = Address, Status = SiloStatus.Active }, "1"), new TableVersion(1, "1")));

    /// <summary>Starts the watch, and returns when the host is ready.</summary>
    public async Task StartAsync()
    {
        await _lifecycle.StartAsync();
        await Backplane.WhenReady.WaitAsync(Patience.Limit, TestContext.Current.CancellationToken);
        Assert.Null(Backplane.NotReadyReason);
    }

    /// <summary>Stops the watch. Advances the clock, because the flush waits for other hosts until LinkTimeout.</summary>
    public async Task StopAsync()
    {
        Task stopping = _lifecycle.StopAsync();
        await AdvanceUntilAsync(() => stopping.IsCompleted);
        await stopping;
    }

    /// <summary>Advances the clock until the given number of checks has ended. The next check may have begun.</summary>
    public async Task CheckAsync(int count)
    {
        // A check has ended when the next one reads the store.
        int awaited = Store.Reads + count + 1;
        await AdvanceUntilAsync(() => Store.Reads >= awaited);
    }

    /// <summary>Receives batches of an unknown host until the given number of refreshes has ended. The next refresh may have begun.</summary>
    public async Task RefreshAsync(int count)
    {
        int awaited = Membership.Refreshes + count + 1;
        await Patience.UntilAsync(() =>
        {
            Assert.Equal(LinkReply.Unknown, Receive(At(9)));
            return Membership.Refreshes >= awaited;
        });
    }

    public LinkReply Receive(SiloAddress sender) => Backplane.Receive(new LinkBatch { Sender = sender, Epoch = 1, Number = 1, Content = [] });

    public async Task EvictedAsync(string cause)
    {
        await Patience.UntilAsync(() => Evictions.Count, count => count > 0);
        Assert.Equal([cause], Evictions);
        Assert.True(Backplane.IsEvicted);
    }

    public IReadOnlyList<FakeLogRecord> Lines(int id) => [.. _log.Collector.GetSnapshot().Where(line => line.Id.Id == id)];

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _watch.Dispose();
        _metrics.Dispose();
    }

    /// <summary>Advances the clock in steps of 1 s until a condition holds.</summary>
    private Task AdvanceUntilAsync(Func<bool> condition) => Patience.UntilAsync(() =>
    {
        if (condition())
        {
            return true;
        }

        _time.Advance(TimeSpan.FromSeconds(1));
        return false;
    });

    internal sealed class FakeStore : IMembershipTable
    {
        private int _reads;

        public Func<Task<MembershipTableData>> Read { get; set; } = NoEntry;

        public int Reads => Volatile.Read(ref _reads);

        public Task<MembershipTableData> ReadRow(SiloAddress key)
        {
            Assert.Equal(At(1), key);
            Interlocked.Increment(ref _reads);
            return Read();
        }

        public Task InitializeMembershipTable(bool tryInitTableVersion) => throw new NotSupportedException();

        public Task DeleteMembershipTableEntries(string clusterId) => throw new NotSupportedException();

        public Task CleanupDefunctSiloEntries(DateTimeOffset beforeDate) => throw new NotSupportedException();

        public Task<MembershipTableData> ReadAll() => throw new NotSupportedException();

        public Task<bool> InsertRow(MembershipEntry entry, TableVersion tableVersion) => throw new NotSupportedException();

        public Task<bool> UpdateRow(MembershipEntry entry, string etag, TableVersion tableVersion) => throw new NotSupportedException();

        public Task UpdateIAmAlive(MembershipEntry entry) => throw new NotSupportedException();
    }

    internal sealed class FakeMembership : IClusterMembershipService
    {
        private int _refreshes;

        public Channel<ClusterMembershipSnapshot> Updates { get; } = Channel.CreateUnbounded<ClusterMembershipSnapshot>();

        public Func<ValueTask> Refreshing { get; set; } = () => default;

        public int Refreshes => Volatile.Read(ref _refreshes);

        public ClusterMembershipSnapshot CurrentSnapshot { get; private set; } = new(ImmutableDictionary<SiloAddress, ClusterMember>.Empty, new MembershipVersion(0));

        public IAsyncEnumerable<ClusterMembershipSnapshot> MembershipUpdates => Updates.Reader.ReadAllAsync();

        public void Publish(long version, params (SiloAddress Address, SiloStatus Status)[] members)
        {
            CurrentSnapshot = new ClusterMembershipSnapshot(
                members.ToImmutableDictionary(member => member.Address, member => new ClusterMember(member.Address, member.Status, "host")),
                new MembershipVersion(version));
            Updates.Writer.TryWrite(CurrentSnapshot);
        }

        public ValueTask Refresh(MembershipVersion minimumVersion = default, CancellationToken cancellationToken = default)
        {
            Interlocked.Increment(ref _refreshes);
            return Refreshing();
        }

        public Task<bool> TryKill(SiloAddress siloAddress) => throw new NotSupportedException();
    }

    private sealed class FakeLifecycle : ISiloLifecycle
    {
        private ILifecycleObserver? _observer;

        public int HighestCompletedStage => throw new NotSupportedException();

        public int LowestStoppedStage => throw new NotSupportedException();

        public IDisposable Subscribe(string observerName, int stage, ILifecycleObserver observer)
        {
            Assert.Equal(ServiceLifecycleStage.Active, stage);
            Assert.Null(_observer);
            _observer = observer;
            return new CancellationTokenSource();
        }

        public Task StartAsync() => _observer!.OnStart(TestContext.Current.CancellationToken);

        public Task StopAsync() => _observer!.OnStop(CancellationToken.None);
    }

    /// <summary>A network that delivers nothing.</summary>
    private sealed class SilentTransport : ILinkTransport
    {
        public Task<LinkReply> SendAsync(SiloAddress host, LinkBatch batch) => new TaskCompletionSource<LinkReply>().Task;

        public Task<IReadOnlyList<PresentConnection>> AskAsync(SiloAddress host, PresenceQuestion question) => throw new NotSupportedException();
    }
}

/// <summary>The address of a silo that does not run.</summary>
internal sealed class FakeSilo(SiloAddress address) : ILocalSiloDetails
{
    public string Name => "host";

    public string ClusterId => "cluster";

    public string DnsHostName => "localhost";

    public SiloAddress SiloAddress => address;

    public SiloAddress GatewayAddress => address;
}
