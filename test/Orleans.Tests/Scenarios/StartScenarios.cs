using System.Diagnostics;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>A host starts, or the number of hosts changes.</summary>
public sealed class StartScenarios : ClusterScenario
{
    [Theory(Timeout = 180_000, Explicit = true)]
    [InlineData("bytestreams")]
    [InlineData("orleans")]
    public async Task Start_ClientSendsImmediately_ReachesMembersOnAllHosts(string first)
    {
        Cluster cluster = Own(await Cluster.StartAsync(hosts: 2));
        Client[] members = await Task.WhenAll(cluster.Hosts.Select(host => ConnectAsync(host, "register", "red")));

        long begun = Stopwatch.GetTimestamp();
        HostProcess added = cluster.StartMore(first);
        Client early = Own(await Patience.UntilAsync(() => TryOpenAsync(added), (Client? client) => client is not null, TimeSpan.FromMinutes(1)) ?? throw new InvalidOperationException());
        TimeSpan accepted = Stopwatch.GetElapsedTime(begun);
        // One segment: commands are pipelined.
        await early.SendAsync("register\nsend group:red early\njoin red\nsend group:red joined\n");
        await early.AnswerAsync("=id ");
        TimeSpan served = Stopwatch.GetElapsedTime(begun);

        Assert.Equal(["early", "joined"], [await members[0].TextAsync(), await members[0].TextAsync()]);
        Assert.Equal(["early", "joined"], [await members[1].TextAsync(), await members[1].TextAsync()]);
        Assert.Equal("joined", await early.TextAsync());
        await members[1].SendAsync("send group:red answer\n");
        Assert.Equal("answer", await early.TextAsync());
        Figure($"{first} registered first: accepted after {accepted.TotalMilliseconds:0} ms, served after {served.TotalMilliseconds:0} ms");
    }

    [Fact(Timeout = 240_000, Explicit = true)]
    public async Task ClusterMaxConnections_HostLeaves_SharesAreRecomputed()
    {
        Cluster cluster = await StartAsync(("ByteStreams:Cluster:ClusterMaxConnections", "90"));
        Assert.Equal(30, await FillAsync(cluster.Hosts[0], 31));
        await Patience.UntilAsync(() => cluster.Hosts[0].MetricAsync("bytestreams.rejected_connections", "refused_total"), rejected => rejected == 1);

        cluster.Hosts[2].Send(Signal.Term);
        await cluster.Hosts[2].ExitAsync();
        foreach (HostProcess host in cluster.Living)
        {
            await Patience.UntilAsync(() => host.MetricAsync("bytestreams.cluster.hosts"), count => count == 2);
        }

        Assert.Equal(15, await FillAsync(cluster.Hosts[0], 16));
        Assert.Equal(45, await FillAsync(cluster.Hosts[1], 46));
    }

    private static async Task<Client?> TryOpenAsync(HostProcess host)
    {
        try
        {
            return await Client.OpenAsync(host);
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Opens connections one after the other.</summary>
    /// <returns>The number of served connections.</returns>
    private async Task<int> FillAsync(HostProcess host, int count)
    {
        int served = 0;
        for (int i = 0; i < count; i++)
        {
            try
            {
                await ConnectAsync(host);
                served++;
            }
            catch (IOException)
            {
                // Rejected by the limit.
            }
        }

        return served;
    }
}
