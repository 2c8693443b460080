using System.Diagnostics;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>The membership store is down, or restarts without its data.</summary>
public sealed class StoreScenarios : ClusterScenario
{
    [Fact(Timeout = 300_000, Explicit = true)]
    public async Task Store_DownWhileAHostIsKilled_LosesNoMessageBetweenTheOthers()
    {
        Cluster cluster = await StartAsync();
        Traffic traffic = Own(await Traffic.StartAsync(cluster, groups: 12, perSecond: 1000));
        await PauseAsync(ScenarioTimes.Calm);

        long begun = Stopwatch.GetTimestamp();
        await cluster.Redis.StopAsync();
        await PauseAsync(ScenarioTimes.StoreDown / 4);
        cluster.Hosts[2].Send(Signal.Kill);
        await PauseAsync(ScenarioTimes.StoreDown * 0.75);
        Figures down = traffic.Count(session => session.Host.IsAlive, begun);
        await cluster.Redis.StartAsync();
        foreach (HostProcess host in cluster.Living)
        {
            await Patience.UntilAsync(() => host.MetricAsync("bytestreams.cluster.hosts"), count => count == 2, TimeSpan.FromMinutes(2));
            await Patience.UntilAsync(host.ReadinessAsync, status => status == 200);
        }

        await traffic.ReconnectedAsync();
        await PauseAsync(ScenarioTimes.Calm);
        Figures figures = await traffic.EndAsync(session => session.Host.IsAlive);
        Figure($"Store down for {ScenarioTimes.StoreDown.TotalSeconds:0} s and a SIGKILL: {figures}; longest while it was down {down.Longest.TotalMilliseconds:0} ms");
        AssertNothingLost(figures);
        AssertWithin(TimeSpan.FromMilliseconds(500), down.Longest, "A delivery between living hosts");
    }

    [Fact(Timeout = 240_000, Explicit = true)]
    public async Task Store_RestartedWithoutData_EveryHostIsNotReady()
    {
        Cluster cluster = await StartAsync();
        await cluster.Redis.StopAsync();
        cluster.Redis.Empty();
        long begun = Stopwatch.GetTimestamp();
        await cluster.Redis.StartAsync();
        foreach (HostProcess host in cluster.Hosts)
        {
            await Patience.UntilAsync(host.ReadinessAsync, status => status == 503);
            await Patience.UntilAsync(() => host.Output, lines => lines.Any(line => line.Contains("Membership store has no entry for this host", StringComparison.Ordinal)));
        }

        Figure($"Store empty: 503 on every /readyz after {Stopwatch.GetElapsedTime(begun).TotalSeconds:0.0} s");

        // The hosts stay not ready, because they do not restore the store.
        await PauseAsync(TimeSpan.FromSeconds(6));
        Assert.All(await Task.WhenAll(cluster.Hosts.Select(host => host.ReadinessAsync())), status => Assert.Equal(503, status));
    }
}
