using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>Connections between hosts are reset, or acknowledgements are late.</summary>
public sealed class LinkScenarios : ClusterScenario
{
    private const string Ss = "/usr/bin/ss";

    [Fact(Timeout = 300_000, Explicit = true)]
    public async Task SiloConnections_ResetTenTimesUnderLoad_LosesNoMessageAndStallsBriefly()
    {
        Assert.SkipUnless(File.Exists(Ss), $"{Ss} (Debian: iproute2) is missing.");
        Assert.SkipUnless(await CanResetAsync(), "ss -K cannot reset connections: it requires root and a kernel with CONFIG_INET_DIAG_DESTROY.");
        Cluster cluster = await StartAsync();
        Traffic traffic = Own(await Traffic.StartAsync(cluster, groups: 24, perSecond: 3000));
        await PauseAsync(ScenarioTimes.Calm);
        TimeSpan before = traffic.Count().Longest;

        long begun = Stopwatch.GetTimestamp();
        int reset = 0;
        for (int i = 0; i < 10; i++)
        {
            reset += await ResetAsync(cluster.Hosts.Select(host => host.At.Silo));
            await PauseAsync(TimeSpan.FromMilliseconds(Random.Shared.Next(1500, 2500)));
        }

        TimeSpan stall = traffic.Count(since: begun).Longest;
        double byReset = await cluster.MetricAsync("bytestreams.cluster.duplicates");

        // A reset rarely falls between a batch and its acknowledgement. A host stopped for longer than LinkRetry, and much less than LinkTimeout,
        // always receives a duplicate, because the other hosts resend unacknowledged batches.
        await cluster.Hosts[1].FreezeAsync(lives: true);
        await PauseAsync(TimeSpan.FromMilliseconds(700));
        cluster.Hosts[1].Send(Signal.Continue, lives: true);
        await PauseAsync(ScenarioTimes.Calm);

        Figures figures = await traffic.EndAsync();
        double resent = await cluster.MetricAsync("bytestreams.cluster.resent");
        double duplicates = await cluster.MetricAsync("bytestreams.cluster.duplicates");
        Figure($"{reset} sockets of silo connections reset in ten resets: {figures}; longest before {before.TotalMilliseconds:0} ms, during the resets {stall.TotalMilliseconds:0} ms; {resent} batches resent, {duplicates} duplicates discarded, {byReset} of them caused by resets");
        Assert.True(reset >= 20, $"Only {reset} sockets were reset.");
        AssertNothingLost(figures);
        AssertWithin(TimeSpan.FromSeconds(1), stall, "A delivery");
        Assert.True(duplicates > 0);
        Assert.Equal(0, await cluster.MetricAsync("bytestreams.cluster.lost"));
    }

    /// <summary>Resets the connections from and to ports.</summary>
    /// <returns>The number of sockets; each connection has two.</returns>
    private static async Task<int> ResetAsync(IEnumerable<int> ports)
    {
        string filter = string.Join(" or ", ports.Select(port => string.Create(CultureInfo.InvariantCulture, $"sport = :{port} or dport = :{port}")));
        using Process ss = Process.Start(new ProcessStartInfo(Ss, ["-HKtn", "state", "established", $"( {filter} )"]) { RedirectStandardOutput = true })!;
        string sockets = await ss.StandardOutput.ReadToEndAsync();
        await ss.WaitForExitAsync();
        return sockets.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length;
    }

    /// <summary>Returns whether this user and this kernel can reset connections.</summary>
    private static async Task<bool> CanResetAsync()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var client = new TcpClient();
        await client.ConnectAsync((IPEndPoint)listener.LocalEndpoint);
        using TcpClient served = await listener.AcceptTcpClientAsync();
        await ResetAsync([((IPEndPoint)listener.LocalEndpoint).Port]);
        try
        {
            await client.Client.SendAsync(new byte[1]);
            return await client.Client.ReceiveAsync(new byte[1]).WaitAsync(TimeSpan.FromSeconds(1)) < 0;
        }
        catch (SocketException)
        {
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }
}
