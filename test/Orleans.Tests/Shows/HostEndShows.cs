using System.Diagnostics;

namespace ByteStreams.Cluster.Tests.Shows;

/// <summary>A host stops, is killed or hangs while messages flow.</summary>
public sealed class HostEndShows : ClusterShow
{
    private const int Groups = 12;

    [Fact(Timeout = 300_000, Explicit = true)]
    public async Task Sigterm_EachHostInTurnWithClientsThatReconnect_LosesNothing()
    {
        Cluster cluster = await StartAsync();
        Traffic traffic = Own(await Traffic.StartAsync(cluster, Groups, perSecond: 1000));
        for (int i = 0; i < cluster.Hosts.Length; i++)
        {
            await PauseAsync(ShowTimes.Calm);
            HostProcess host = cluster.Hosts[i];
            host.Send(Signal.Term);
            Assert.Equal(0, await host.ExitAsync());
            Assert.Equal(["drained"], host.Reasons.Keys);
            await traffic.ReconnectedAsync();
            await cluster.RestartAsync(i);
        }

        await PauseAsync(ShowTimes.Calm);
        Figures figures = await traffic.EndAsync();
        Figure($"SIGTERM of each host in turn: {figures}");
        AssertNothingLost(figures);
        Assert.InRange((double)figures.Across / figures.Deliveries, 0.45, 0.55);
        Assert.Equal(0, await cluster.MetricAsync("bytestreams.cluster.lost"));
    }

    [Fact(Timeout = 240_000, Explicit = true)]
    public async Task Sigkill_OneOfThree_DelaysNoDeliveryBetweenTheOthers()
    {
        Cluster cluster = await StartAsync();
        Traffic traffic = Own(await Traffic.StartAsync(cluster, Groups, perSecond: 1000));
        await PauseAsync(ShowTimes.Calm);
        TimeSpan before = traffic.Count().Longest;

        long killed = Stopwatch.GetTimestamp();
        cluster.Hosts[0].Send(Signal.Kill);
        foreach (HostProcess host in cluster.Living)
        {
            await Patience.UntilAsync(() => host.MetricAsync("bytestreams.cluster.hosts"), count => count == 2, Patience.OnThisMachine(TimeSpan.FromSeconds(15)));
        }

        TimeSpan evicted = Stopwatch.GetElapsedTime(killed);
        await traffic.ReconnectedAsync();
        await PauseAsync(ShowTimes.Calm);
        Figures figures = await traffic.EndAsync(session => session.Host.IsAlive);
        Figures after = traffic.Count(session => session.Host.IsAlive, killed);
        Figure($"SIGKILL: {figures}; longest before {before.TotalMilliseconds:0} ms, after {after.Longest.TotalMilliseconds:0} ms; evicted after {evicted.TotalSeconds:0.0} s");
        AssertNothingLost(figures);
        AssertWithin(TimeSpan.FromMilliseconds(500), after.Longest, "A delivery between living hosts");
        AssertWithin(TimeSpan.FromSeconds(15), evicted, "The eviction");
        Assert.All(cluster.Living, host => Assert.DoesNotContain(host.Output, line => line.Contains("fault of ByteStreams", StringComparison.Ordinal)));
    }

    [Fact(Timeout = 300_000, Explicit = true)]
    public async Task Sigstop_HostEvictedMeanwhile_DeliversNothingOldAndDrainsItsClients()
    {
        Cluster cluster = await StartAsync();
        Traffic traffic = Own(await Traffic.StartAsync(cluster, Groups, perSecond: 1000));
        await PauseAsync(ShowTimes.Calm);

        HostProcess frozen = cluster.Hosts[0];
        long stopped = Stopwatch.GetTimestamp();
        await frozen.FreezeAsync();
        foreach (HostProcess host in cluster.Living)
        {
            await Patience.UntilAsync(() => host.MetricAsync("bytestreams.cluster.hosts"), count => count == 2, Patience.OnThisMachine(TimeSpan.FromSeconds(30)));
        }

        TimeSpan evicted = Stopwatch.GetElapsedTime(stopped);
        if (ShowTimes.Frozen > evicted)
        {
            await PauseAsync(ShowTimes.Frozen - evicted);
        }

        Figures during = traffic.Count(session => session.Host.IsAlive, stopped);
        long continued = Stopwatch.GetTimestamp();
        frozen.Send(Signal.Continue);
        Assert.Equal(3, await frozen.ExitAsync());
        await traffic.ReconnectedAsync();
        await PauseAsync(ShowTimes.Calm);
        Figures figures = await traffic.EndAsync(session => session.Host.IsAlive);
        IReadOnlyList<(long SentAt, long ReceivedAt)> delivered = traffic.DeliveriesOf(session => session.Host == frozen);
        TimeSpan oldest = Stopwatch.GetElapsedTime(0, delivered.Max(message => message.ReceivedAt - message.SentAt));
        int late = delivered.Count(message => message.ReceivedAt > continued);
        double fenced = await cluster.MetricAsync("bytestreams.cluster.fenced");
        Figure($"SIGSTOP for {Stopwatch.GetElapsedTime(stopped).TotalSeconds:0} s: {figures}; longest while stopped {during.Longest.TotalMilliseconds:0} ms; evicted after {evicted.TotalSeconds:0.0} s; of the stopped host {delivered.Count} deliveries, the oldest {oldest.TotalMilliseconds:0} ms old, {late} after it went on; {fenced} batches fenced; its connections: {string.Join(", ", frozen.Reasons)}");
        AssertNothingLost(figures);
        // Its clients went on sending while it was stopped: their bytes and its queues are as old as the stop.
        Assert.Equal(0, late);
        TimeSpan linkTimeout = TimeSpan.FromSeconds(5);
        Assert.InRange(oldest, TimeSpan.Zero, linkTimeout + Patience.OnThisMachine(TimeSpan.FromMilliseconds(250)));
        Assert.Equal(["drained"], frozen.Reasons.Keys);
    }
}
