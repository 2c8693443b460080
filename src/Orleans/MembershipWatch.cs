using ByteStreams.Cluster.Links;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Cluster;

/// <summary>
/// Forwards membership changes to the backplane while this host is active. Checks every 5 s that the membership store still has this host,
/// because new hosts on an emptied store silently form a second cluster.
/// </summary>
internal sealed class MembershipWatch(
    ClusterBackplane backplane,
    IClusterMembershipService membership,
    IMembershipTable store,
    ILocalSiloDetails self,
    ByteStreamClusterOptions options,
    ByteStreamConnections connections,
    ILogger<ClusterBackplane> logger) : ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    private static readonly TimeSpan StoreInterval = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The exception of the Redis provider for a reachable store without a membership table; other providers return no entry. Compared by name,
    /// because this package references no provider. An unreachable store causes other exceptions.
    /// </summary>
    private const string MissingRedisTable = "Orleans.Clustering.Redis.RedisClusteringException";

    private readonly CancellationTokenSource _stopped = new();
    private Task _following = Task.CompletedTask;
    private Task _checkingStore = Task.CompletedTask;
    private int _isRefreshing;

    // 1 after a failure was logged, until the store can be read. Refresh and the periodic check run concurrently.
    private int _isUnreachable;

    public void Participate(ISiloLifecycle lifecycle) =>
        // Starts after the silo is active; stops before it leaves the membership.
        lifecycle.Subscribe(nameof(MembershipWatch), ServiceLifecycleStage.Active, StartAsync, StopAsync);

    public void Dispose() => _stopped.Dispose();

    private Task StartAsync(CancellationToken cancellationToken)
    {
        // Resolving the service attaches it to the backplane.
        _ = connections;
        backplane.WhenUnknown = Refresh;
        _following = Task.Run(FollowAsync, CancellationToken.None);
        _checkingStore = Task.Run(CheckStoreAsync, CancellationToken.None);
        return Task.CompletedTask;
    }

    private async Task StopAsync(CancellationToken cancellationToken)
    {
        await backplane.FlushAsync(cancellationToken).ConfigureAwait(false);
        await _stopped.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_following, _checkingStore).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        backplane.Dispose();
    }

    private async Task FollowAsync()
    {
        try
        {
            Update(membership.CurrentSnapshot);
            await foreach (ClusterMembershipSnapshot snapshot in membership.MembershipUpdates.WithCancellation(_stopped.Token).ConfigureAwait(false))
            {
                Update(snapshot);
            }

            if (!_stopped.IsCancellationRequested)
            {
                backplane.Evict("the Orleans membership updates stopped");
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // Shutdown.
        }
        catch (Exception fault)
        {
            // Without membership updates, evicted hosts are not fenced and new hosts are not found.
            ClusterLog.Fatal(logger, fault, "Reading the membership updates failed.");
            backplane.Evict("reading the membership updates failed");
        }
    }

    private void Update(ClusterMembershipSnapshot snapshot)
    {
        var members = new HashSet<SiloAddress>();
        foreach ((SiloAddress address, ClusterMember member) in snapshot.Members)
        {
            if (member.Status is SiloStatus.Active or SiloStatus.ShuttingDown or SiloStatus.Stopping)
            {
                members.Add(address);
            }
        }

        // GetSiloStatus also covers removed entries: a later generation at an address implies that the earlier one is dead.
        backplane.Update(members, host => snapshot.GetSiloStatus(host) == SiloStatus.Dead);
    }

    /// <summary>Refreshes the membership, because an unknown sender is probably a new host.</summary>
    private void Refresh()
    {
        if (Interlocked.Exchange(ref _isRefreshing, 1) == 0)
        {
            _ = Task.Run(RefreshAsync);
        }
    }

    private async Task RefreshAsync()
    {
        try
        {
            Task refreshing = membership.Refresh(default, _stopped.Token).AsTask();
            refreshing.ObserveException();
            await refreshing.WaitAsync(options.LinkTimeout, options.TimeProvider).ConfigureAwait(false);
            OnStoreReachable();
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // Shutdown.
        }
        catch (Exception failure) when (IsMissingTable(failure))
        {
            // The periodic check reports it.
            OnStoreReachable();
        }
        catch (Exception failure)
        {
            OnStoreUnreachable(failure);
        }
        finally
        {
            Volatile.Write(ref _isRefreshing, 0);
        }
    }

    private async Task CheckStoreAsync()
    {
        using var timer = new PeriodicTimer(StoreInterval, options.TimeProvider);
        bool isInStore = true;
        try
        {
            while (await timer.WaitForNextTickAsync(_stopped.Token).ConfigureAwait(false))
            {
                try
                {
                    bool isInStoreNow = await IsInStoreAsync().ConfigureAwait(false);
                    OnStoreReachable();
                    if (isInStoreNow != isInStore)
                    {
                        OnStoreEntryChanged(isInStoreNow);
                    }

                    isInStore = isInStoreNow;
                }
                catch (Exception failure) when (failure is not OperationCanceledException || !_stopped.IsCancellationRequested)
                {
                    OnStoreUnreachable(failure);
                }
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // Shutdown.
        }
    }

    /// <summary>Returns whether the store has the entry of this host.</summary>
    private async Task<bool> IsInStoreAsync()
    {
        try
        {
            Task<MembershipTableData> reading = store.ReadRowAsync(self.SiloAddress, _stopped.Token);
            reading.ObserveException();
            MembershipTableData found = await reading.WaitAsync(StoreInterval, options.TimeProvider, _stopped.Token).ConfigureAwait(false);
            return found.TryGet(self.SiloAddress) is not null;
        }
        catch (Exception failure) when (IsMissingTable(failure))
        {
            return false;
        }
    }

    private static bool IsMissingTable(Exception failure) => failure.GetType().FullName == MissingRedisTable;

    private void OnStoreUnreachable(Exception failure)
    {
        if (Interlocked.Exchange(ref _isUnreachable, 1) == 0)
        {
            ClusterLog.StoreUnreachable(logger, failure);
        }
    }

    private void OnStoreReachable()
    {
        if (Interlocked.Exchange(ref _isUnreachable, 0) == 1)
        {
            ClusterLog.StoreReachable(logger);
        }
    }

    private void OnStoreEntryChanged(bool isInStore)
    {
        if (isInStore)
        {
            ClusterLog.StoreHasThisHost(logger);
            backplane.SetStoreError(null);
        }
        else
        {
            ClusterLog.StoreLostThisHost(logger);
            backplane.SetStoreError("Not ready: the membership store has no entry for this host, because it was emptied or replaced.");
        }
    }
}
