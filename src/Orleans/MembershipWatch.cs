using Microsoft.Extensions.Logging;

namespace ByteStreams.Cluster;

/// <summary>
/// Tells the backplane who is in the cluster, from the moment in which this host is a member until it leaves; and looks from time to time whether
/// the membership store still has this host, because a store that comes back empty makes a second cluster without a word.
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
    /// The exception of the Redis provider where the store answers and has no membership table at all; other providers return no entry. Compared
    /// by name, because this package refers to no provider. A store that does not answer has other exceptions.
    /// </summary>
    private const string MissingRedisTable = "Orleans.Clustering.Redis.RedisClusteringException";

    private readonly CancellationTokenSource _stopped = new();
    private Task _following = Task.CompletedTask;
    private Task _looking = Task.CompletedTask;
    private int _isRefreshing;

    public void Participate(ISiloLifecycle lifecycle) =>
        // After the host has become a member; at the stop, before it ceases to be one.
        lifecycle.Subscribe(nameof(MembershipWatch), ServiceLifecycleStage.Active, StartAsync, StopAsync);

    public void Dispose() => _stopped.Dispose();

    private Task StartAsync(CancellationToken cancellationToken)
    {
        // The service is what the links deliver to.
        _ = connections;
        backplane.WhenUnknown = Refresh;
        _following = Task.Run(FollowAsync, CancellationToken.None);
        _looking = Task.Run(LookAsync, CancellationToken.None);
        return Task.CompletedTask;
    }

    private async Task StopAsync(CancellationToken cancellationToken)
    {
        await backplane.FlushAsync(cancellationToken).ConfigureAwait(false);
        await _stopped.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_following, _looking).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
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
                backplane.Evict("Orleans tells no changes of the membership any more");
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // The host stops.
        }
        catch (Exception fault)
        {
            // Without the membership nothing is fenced, and no new host is found.
            ClusterLog.Fatal(logger, fault, "The changes of the membership cannot be followed any more.");
            backplane.Evict("the changes of the membership cannot be followed any more");
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

        // Also of hosts whose entries have been removed: a later generation at an address tells that the one before is dead.
        backplane.Update(members, host => snapshot.GetSiloStatus(host) == SiloStatus.Dead);
    }

    /// <summary>A host that this one does not know is likely to be new.</summary>
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
            await membership.Refresh(default, _stopped.Token).AsTask().WaitAsync(options.LinkTimeout, options.TimeProvider).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // The host stops.
        }
        catch (Exception failure)
        {
            ClusterLog.StoreUnreachable(logger, failure);
        }
        finally
        {
            Volatile.Write(ref _isRefreshing, 0);
        }
    }

    private async Task LookAsync()
    {
        using var timer = new PeriodicTimer(StoreInterval, options.TimeProvider);
        bool isReachable = true;
        bool isThere = true;
        try
        {
            while (await timer.WaitForNextTickAsync(_stopped.Token).ConfigureAwait(false))
            {
                try
                {
                    bool isThereNow = await IsInStoreAsync().ConfigureAwait(false);
                    if (!isReachable)
                    {
                        ClusterLog.StoreReachable(logger);
                    }

                    isReachable = true;
                    if (isThereNow != isThere)
                    {
                        Changed(isThereNow);
                    }

                    isThere = isThereNow;
                }
                catch (Exception failure) when (failure is not OperationCanceledException || !_stopped.IsCancellationRequested)
                {
                    if (isReachable)
                    {
                        ClusterLog.StoreUnreachable(logger, failure);
                    }

                    isReachable = false;
                }
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // The host stops.
        }
    }

    /// <summary>Whether the store has the entry of this host.</summary>
    private async Task<bool> IsInStoreAsync()
    {
        try
        {
            MembershipTableData found = await store.ReadRowAsync(self.SiloAddress, _stopped.Token)
                .WaitAsync(StoreInterval, options.TimeProvider, _stopped.Token).ConfigureAwait(false);
            return found.TryGet(self.SiloAddress) is not null;
        }
        catch (Exception failure) when (failure.GetType().FullName == MissingRedisTable)
        {
            return false;
        }
    }

    private void Changed(bool isThere)
    {
        if (isThere)
        {
            ClusterLog.StoreHasThisHost(logger);
            backplane.SetStoreError(null);
        }
        else
        {
            ClusterLog.StoreLostThisHost(logger);
            backplane.SetStoreError("The membership store has no entry of this host: it was emptied, or another one is in use.");
        }
    }
}
