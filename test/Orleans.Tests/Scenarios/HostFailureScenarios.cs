using System.Diagnostics;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>A host is stopped, killed or frozen under load.</summary>
public sealed class HostFailureScenarios : ClusterScenario
{
    private const int Groups = 12;

    [Fact(Timeout = 300_000, Explicit = true)]
    public async Task Sigterm_EachHostWithReconnectingClients_LosesNoMessage()
    {
        Cluster cluster = await StartAsync();
        Traffic traffic = Own(await Traffic.StartAsync(cluster, Groups, perSecond: 1000));
        for (int i = 0; i < cluster.Hosts.Length; i++)
        {
            await PauseAsync(ScenarioTimes.Calm);
            HostProcess host = cluster.Hosts[i];
            host.Send(Signal.Term);
            Assert.Equal(0, await host.ExitAsync());
            Assert.Equal(["drained"], host.Reasons.Keys);
            await traffic.ReconnectedAsync();
            await cluster.RestartAsync(i);
        }

        await PauseAsync(ScenarioTimes.Calm);
        Figures figures = await traffic.EndAsync();
        Figure($"SIGTERM of each host: {figures}");
        AssertNothingLost(figures);
        Assert.InRange((double)figures.Across / figures.Deliveries, 0.45, 0.55);
        Assert.Equal(0, await cluster.MetricAsync("bytestreams.cluster.lost"));
    }

    [Fact(Timeout = 240_000, Explicit = true)]
    public async Task Sigkill_OneOfThreeHosts_DoesNotDelayDeliveriesBetweenTheOthers()
    {
        Cluster cluster = await StartAsync();
        Traffic traffic = Own(await Traffic.StartAsync(cluster, Groups, perSecond: 1000));
        await PauseAsync(ScenarioTimes.Calm);
        TimeSpan before = traffic.Count().Longest;

        long killed = Stopwatch.GetTimestamp();
        cluster.Hosts[0].Send(Signal.Kill);
        foreach (HostProcess host in cluster.Living)
        {
            await Patience.UntilAsync(() => host.MetricAsync("bytestreams.cluster.hosts"), count => count == 2, Patience.OnThisMachine(TimeSpan.FromSeconds(15)));
        }

        TimeSpan evicted = Stopwatch.GetElapsedTime(killed);
        await traffic.ReconnectedAsync();
        await PauseAsync(ScenarioTimes.Calm);
        Figures figures = await traffic.EndAsync(session => session.Host.IsAlive);
        Figures after = traffic.Count(session => session.Host.IsAlive, killed);
        Figure($"SIGKILL: {figures}; longest before {before.TotalMilliseconds:0} ms, after {after.Longest.TotalMilliseconds:0} ms; evicted after {evicted.TotalSeconds:0.0} s");
        AssertNothingLost(figures);
        AssertWithin(TimeSpan.FromMilliseconds(500), after.Longest, "A delivery between living hosts");
        AssertWithin(TimeSpan.FromSeconds(15), evicted, "The eviction");
        Assert.All(cluster.Living, host => Assert.DoesNotContain(host.Output, line => line.Contains("bug in ByteStreams", StringComparison.Ordinal)));
    }

    [Fact(Timeout = 300_000, Explicit = true)]
    public async Task Sigstop_UntilEvicted_DeliversNoOutdatedMessageAndDrainsItsClients()
    {
        Cluster cluster = await StartAsync();
        Traffic traffic = Own(await Traffic.StartAsync(cluster, Groups, perSecond: 1000));
        await PauseAsync(ScenarioTimes.Calm);

        HostProcess frozen = cluster.Hosts[0];
        long stopped = Stopwatch.GetTimestamp();
        await frozen.FreezeAsync();
        foreach (HostProcess host in cluster.Living)
        {
            await Patience.UntilAsync(() => host.MetricAsync("bytestreams.cluster.hosts"), count => count == 2, Patience.OnThisMachine(TimeSpan.FromSeconds(30)));
        }

        TimeSpan evicted = Stopwatch.GetElapsedTime(stopped);
        if (ScenarioTimes.Frozen > evicted)
        {
            await PauseAsync(ScenarioTimes.Frozen - evicted);
        }

        Figures during = traffic.Count(session => session.Host.IsAlive, stopped);
        long continued = Stopwatch.GetTimestamp();
        frozen.Send(Signal.Continue);
        Assert.Equal(3, await frozen.ExitAsync());
        await traffic.ReconnectedAsync();
        await PauseAsync(ScenarioTimes.Calm);
        Figures figures = await traffic.EndAsync(session => session.Host.IsAlive);
        IReadOnlyList<(long SentAt, long ReceivedAt)> delivered = traffic.DeliveriesOf(session => session.Host == frozen);
        TimeSpan oldest = Stopwatch.GetElapsedTime(0, delivered.Max(message => message.ReceivedAt - message.SentAt));
        int late = delivered.Count(message => message.ReceivedAt > continued);
        double fenced = await cluster.MetricAsync("bytestreams.cluster.fenced");
        Figure($"SIGSTOP for {Stopwatch.GetElapsedTime(stopped).TotalSeconds:0} s: {figures}; longest while stopped {during.Longest.TotalMilliseconds:0} ms; evicted after {evicted.TotalSeconds:0.0} s; {delivered.Count} deliveries from the stopped host, maximum age {oldest.TotalMilliseconds:0} ms, {late} after it resumed; {fenced} batches fenced; its connections: {string.Join(", ", frozen.Reasons)}");
        AssertNothingLost(figures);
        // Its clients kept sending while it was stopped, so its receive buffers and queues contain outdated messages.
        Assert.Equal(0, late);
        TimeSpan linkTimeout = TimeSpan.FromSeconds(5);
        Assert.InRange(oldest, TimeSpan.Zero, linkTimeout + Patience.OnThisMachine(TimeSpan.FromMilliseconds(250)));
        Assert.Equal(["drained"], frozen.Reasons.Keys);
    }
}
