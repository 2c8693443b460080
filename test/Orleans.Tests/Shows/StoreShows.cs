using System.Diagnostics;

namespace ByteStreams.Cluster.Tests.Shows;

/// <summary>The membership store is down, or comes back without its data.</summary>
public sealed class StoreShows : ClusterShow
{
    [Fact(Timeout = 300_000, Explicit = true)]
    public async Task Store_DownWhileAHostIsKilled_LosesNothingBetweenTheOthers()
    {
        Cluster cluster = await StartAsync();
        Traffic traffic = Own(await Traffic.StartAsync(cluster, groups: 12, perSecond: 1000));
        await PauseAsync(ShowTimes.Calm);

        long begun = Stopwatch.GetTimestamp();
        await cluster.Redis.StopAsync();
        await PauseAsync(ShowTimes.StoreDown / 4);
        cluster.Hosts[2].Send(Signal.Kill);
        await PauseAsync(ShowTimes.StoreDown * 0.75);
        Figures down = traffic.Count(session => session.Host.IsAlive, begun);
        await cluster.Redis.StartAsync();
        foreach (HostProcess host in cluster.Living)
        {
            await Patience.UntilAsync(() => host.MetricAsync("bytestreams.cluster.hosts"), count => count == 2, TimeSpan.FromMinutes(2));
            await Patience.UntilAsync(host.ReadinessAsync, status => status == 200);
        }

        await traffic.ReconnectedAsync();
        await PauseAsync(ShowTimes.Calm);
        Figures figures = await traffic.EndAsync(session => session.Host.IsAlive);
        Figure($"Store down for {ShowTimes.StoreDown.TotalSeconds:0} s and a SIGKILL: {figures}; longest while it was down {down.Longest.TotalMilliseconds:0} ms");
        AssertNothingLost(figures);
        AssertWithin(TimeSpan.FromMilliseconds(500), down.Longest, "A delivery between living hosts");
    }

    [Fact(Timeout = 240_000, Explicit = true)]
    public async Task Store_BackWithoutItsData_EveryHostIsNotReady()
    {
        Cluster cluster = await StartAsync();
        await cluster.Redis.StopAsync();
        cluster.Redis.Empty();
        long begun = Stopwatch.GetTimestamp();
        await cluster.Redis.StartAsync();
        foreach (HostProcess host in cluster.Hosts)
        {
            await Patience.UntilAsync(host.ReadinessAsync, status => status == 503);
            await Patience.UntilAsync(() => host.Output, lines => lines.Any(line => line.Contains("The membership store has no entry of this host", StringComparison.Ordinal)));
        }

        Figure($"Store empty: 503 on every /readyz after {Stopwatch.GetElapsedTime(begun).TotalSeconds:0.0} s");

        // It stays: nothing of the hosts makes the store whole again by itself.
        await PauseAsync(TimeSpan.FromSeconds(6));
        Assert.All(await Task.WhenAll(cluster.Hosts.Select(host => host.ReadinessAsync())), status => Assert.Equal(503, status));
    }
}
