using ByteStreams.Cluster.Links;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Orleans.Clustering.Redis;

namespace ByteStreams.Cluster.Tests;

/// <summary>The membership of this host: changes, the checks of its store, and the end of the updates.</summary>
public sealed class MembershipWatchTests : IAsyncDisposable
{
    private const string Missing = "Not ready: the membership store has no entry for this host, because it was emptied or replaced.";

    private readonly WatchedHost _host = new();

    public ValueTask DisposeAsync() => _host.DisposeAsync();

    [Fact(Timeout = 60000)]
    public async Task CheckStore_EntryIsMissing_IsNotReadyAndAnErrorIsLoggedOnce()
    {
        await _host.StartAsync();
        _host.Store.Read = WatchedHost.NoEntry;

        await _host.CheckAsync(3);

        Assert.Equal(Missing, _host.Backplane.NotReadyReason);
        FakeLogRecord line = Assert.Single(_host.Lines(750));
        Assert.Equal(LogLevel.Error, line.Level);
        Assert.Equal(
            "Membership store has no entry for this host, because it was emptied or replaced. This host is not ready. Restore the store, or restart all hosts.",
            line.Message);
        Assert.Empty(_host.Lines(752));
        Assert.False(_host.Backplane.IsEvicted);
    }

    [Fact(Timeout = 60000)]
    public async Task CheckStore_EntryIsBack_IsReadyAndLoggedOnce()
    {
        await _host.StartAsync();
        _host.Store.Read = WatchedHost.NoEntry;
        await _host.CheckAsync(2);

        _host.Store.Read = _host.Entry;
        await _host.CheckAsync(3);

        Assert.Null(_host.Backplane.NotReadyReason);
        FakeLogRecord line = Assert.Single(_host.Lines(751));
        Assert.Equal((LogLevel.Information, "Membership store has the entry for this host again."), (line.Level, line.Message));
    }

    /// <summary>The provider's own type, because the code has only its name.</summary>
    [Fact(Timeout = 60000)]
    public async Task CheckStore_RedisTableIsMissing_CountsAsMissingEntry()
    {
        await _host.StartAsync();
        _host.Store.Read = () => throw new RedisClusteringException("no table");

        await _host.CheckAsync(3);

        Assert.Equal(Missing, _host.Backplane.NotReadyReason);
        Assert.Single(_host.Lines(750));
        Assert.Empty(_host.Lines(752));
    }

    [Fact(Timeout = 60000)]
    public async Task CheckStore_StoreThrows_StaysReadyAndWarnsOnceUntilItIsReadable()
    {
        await _host.StartAsync();
        _host.Store.Read = () => throw new IOException("refused");
        await _host.CheckAsync(4);

        Assert.Null(_host.Backplane.NotReadyReason);
        FakeLogRecord line = Assert.Single(_host.Lines(752));
        Assert.Equal((LogLevel.Warning, "Membership store unreachable. Known hosts continue to exchange messages."), (line.Level, line.Message));
        Assert.Equal("refused", Assert.IsType<IOException>(line.Exception).Message);
        Assert.Empty(_host.Lines(753));

        _host.Store.Read = _host.Entry;
        await _host.CheckAsync(3);
        line = Assert.Single(_host.Lines(753));
        Assert.Equal((LogLevel.Information, "Membership store reachable again."), (line.Level, line.Message));

        _host.Store.Read = () => throw new IOException("refused");
        await _host.CheckAsync(2);
        Assert.Equal(2, _host.Lines(752).Count);
        Assert.Empty(_host.Lines(750));
    }

    [Fact(Timeout = 60000)]
    public async Task CheckStore_StoreDoesNotAnswer_WarnsAndChecksAgain()
    {
        await _host.StartAsync();
        _host.Store.Read = () => new TaskCompletionSource<MembershipTableData>().Task;

        await _host.CheckAsync(3);

        Assert.Null(_host.Backplane.NotReadyReason);
        Assert.IsType<TimeoutException>(Assert.Single(_host.Lines(752)).Exception);
    }

    [Fact(Timeout = 60000)]
    public async Task CheckStore_StoreThrowsAfterTheEntryWasMissing_StaysNotReady()
    {
        await _host.StartAsync();
        _host.Store.Read = WatchedHost.NoEntry;
        await _host.CheckAsync(2);

        _host.Store.Read = () => throw new IOException("refused");
        await _host.CheckAsync(2);

        Assert.Equal(Missing, _host.Backplane.NotReadyReason);
        Assert.Single(_host.Lines(750));
        Assert.Single(_host.Lines(752));
    }

    [Fact(Timeout = 60000)]
    public async Task Refresh_StoreThrows_WarnsOnceUntilItIsReadable()
    {
        await _host.StartAsync();
        _host.Membership.Refreshing = () => throw new IOException("refused");
        await _host.RefreshAsync(4);

        Assert.Equal("refused", Assert.IsType<IOException>(Assert.Single(_host.Lines(752)).Exception).Message);
        Assert.Null(_host.Backplane.NotReadyReason);

        _host.Membership.Refreshing = () => default;
        await _host.RefreshAsync(2);
        Assert.Single(_host.Lines(753));

        _host.Membership.Refreshing = () => throw new IOException("refused");
        await _host.RefreshAsync(2);
        Assert.Equal(2, _host.Lines(752).Count);
    }

    [Fact(Timeout = 60000)]
    public async Task Refresh_PeriodicCheckFailsToo_WarnsOnce()
    {
        await _host.StartAsync();
        _host.Store.Read = () => throw new IOException("refused");
        _host.Membership.Refreshing = () => throw new IOException("refused");

        await _host.RefreshAsync(2);
        await _host.CheckAsync(2);
        await _host.RefreshAsync(2);
        Assert.Single(_host.Lines(752));

        _host.Store.Read = _host.Entry;
        _host.Membership.Refreshing = () => default;
        await _host.CheckAsync(2);
        await _host.RefreshAsync(2);
        // The last failing refresh may end after the first successful check.
        Assert.NotEmpty(_host.Lines(753));
        Assert.Equal(_host.Lines(752).Count, _host.Lines(753).Count);
    }

    /// <summary>Otherwise the warning and its end alternate, because the periodic check reads the store.</summary>
    [Fact(Timeout = 60000)]
    public async Task Refresh_RedisTableIsMissing_IsNotUnreachable()
    {
        await _host.StartAsync();
        _host.Store.Read = () => throw new RedisClusteringException("no table");
        _host.Membership.Refreshing = () => throw new RedisClusteringException("no table");

        await _host.RefreshAsync(2);
        await _host.CheckAsync(2);
        await _host.RefreshAsync(2);

        Assert.Empty(_host.Lines(752));
        Assert.Empty(_host.Lines(753));
        Assert.Single(_host.Lines(750));
    }

    [Fact(Timeout = 60000)]
    public async Task Follow_UpdatesEnd_Evicts()
    {
        await _host.StartAsync();

        _host.Membership.Updates.Writer.Complete();

        await _host.EvictedAsync("the Orleans membership updates stopped");
        Assert.Equal("Not ready: this host was evicted from the cluster: the Orleans membership updates stopped.", _host.Backplane.NotReadyReason);
    }

    [Fact(Timeout = 60000)]
    public async Task Follow_UpdatesThrow_EvictsAndLogsTheException()
    {
        await _host.StartAsync();

        _host.Membership.Updates.Writer.Complete(new InvalidDataException("broken"));

        await _host.EvictedAsync("reading the membership updates failed");
        FakeLogRecord line = Assert.Single(_host.Lines(755));
        Assert.Equal((LogLevel.Critical, "Reading the membership updates failed."), (line.Level, line.Message));
        Assert.Equal("broken", Assert.IsType<InvalidDataException>(line.Exception).Message);
    }

    [Fact(Timeout = 60000)]
    public async Task Follow_HostIsDead_Evicts()
    {
        await _host.StartAsync();

        _host.Membership.Publish(2, (_host.Address, SiloStatus.Dead));

        await _host.EvictedAsync("the membership store lists it as dead");
    }

    [Fact(Timeout = 60000)]
    public async Task Follow_HostsInEachStatus_OnlyLiveOnesAreMembers()
    {
        await _host.StartAsync();
        SiloAddress[] others = [.. Enumerable.Range(2, 6).Select(WatchedHost.At)];

        _host.Membership.Publish(
            2,
            (_host.Address, SiloStatus.Active),
            (others[0], SiloStatus.Created),
            (others[1], SiloStatus.Joining),
            (others[2], SiloStatus.Active),
            (others[3], SiloStatus.ShuttingDown),
            (others[4], SiloStatus.Stopping),
            (others[5], SiloStatus.Dead));

        await Patience.UntilAsync(() => _host.Backplane.Peers.Count, count => count > 0);
        Assert.Equal(others[2..5], _host.Backplane.Peers.Select(peer => peer.Address).OrderBy(address => address.Endpoint.Port));
        Assert.Equal(LinkReply.Unknown, _host.Receive(others[1]));
        Assert.Equal(LinkReply.Fenced, _host.Receive(others[5]));
    }

    [Fact(Timeout = 60000)]
    public async Task Stop_UpdatesAreCanceled_IsNoEviction()
    {
        await _host.StartAsync();

        await _host.StopAsync();

        Assert.Empty(_host.Evictions);
        Assert.Equal("Not ready: this host has left the cluster.", _host.Backplane.NotReadyReason);
        Assert.Empty(_host.Lines(755));
    }
}
