using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using ByteStreams.Testing;
using ByteStreams.Transport;

namespace ByteStreams.Faults.Tests;

/// <summary>Bursts of clients against hosts with few descriptors: what every descriptor of the process stops short of.</summary>
public sealed partial class DescriptorRows : ProcessTest
{
    private const string Limiter = "/usr/bin/prlimit";

    /// <summary>The descriptors of the test's own process that are not clients.</summary>
    private const int Own = 1000;

    // A connection for each request: what a probe does, and what needs a descriptor of the host.
    private static readonly HttpClient Http = new(new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.Zero });

    private static readonly (int Limit, int Clients, string? MaxConnections)[] Bursts =
    [
        (256, 200, null),
        (1024, 600, null),
        (1024, 600, "300"),
        (2048, 1200, null),
        (4096, 5000, null),
        (8192, 9500, null),
    ];

    public DescriptorRows() => Assert.SkipUnless(File.Exists(Limiter), "prlimit (Debian: util-linux) sets the limit.");

    [Fact, Trait("Fault", "F72")]
    public async Task F72_BurstsAtARelayWithFewDescriptors_EachClientIsServedOrRefusedAndTheProcessLives()
    {
        (int Limit, int Clients, string? MaxConnections)[] bursts = [.. Bursts.Where(burst => burst.Clients + Own < DescriptorLimit.Process.Most)];
        Assert.SkipWhen(bursts.Length == 0, "The test's own clients need more descriptors (ulimit -n).");
        ServerProcess upstream = await HostAsync(("MaxConnections", "0"));
        Relay[] relays = await Task.WhenAll(bursts.Select(burst => StartRelayAsync(upstream, burst.Limit, burst.MaxConnections)));
        foreach ((Relay relay, (int limit, int clients, _)) in relays.Zip(bursts))
        {
            int served = await BurstAsync(relay, clients);

            Assert.InRange(served, 1, relay.MaxConnections);
            Figure($"{served} of {clients} clients at {limit} descriptors served");
        }
    }

    [Fact, Trait("Fault", "F73")]
    public async Task F73_AsManyClientsAsTheReportedLimit_AreServedAndTheNextAreRefusedAtOnce()
    {
        const int Limit = 1024;
        const int Beyond = 20;
        ServerProcess upstream = await HostAsync(("MaxConnections", "0"));
        Relay relay = await StartRelayAsync(upstream, Limit, maxConnections: null);
        var clients = new Socket[relay.MaxConnections];
        for (int i = 0; i < clients.Length; i++)
        {
            clients[i] = Connect(relay.EndPoint);
            await EchoAsync(clients[i], "served\n");
        }

        for (int i = 0; i < Beyond; i++)
        {
            Assert.False(await IsServedAsync(relay.EndPoint));
        }

        await Patience.UntilAsync(() => relay.Host.Reasons.GetValueOrDefault("refused_total"), now => now == Beyond);
        await AssertAliveAsync(relay);
        await EchoAsync(clients[^1], "still there\n");
        Array.ForEach(clients, client => client.Dispose());
        await Patience.UntilAsync(() => relay.Host.Reasons.GetValueOrDefault("closed_by_peer"), now => now == clients.Length);
        await EchoAsync(relay.EndPoint);
        Assert.DoesNotContain("refused_descriptors", relay.Host.Reasons.Keys);
        Figure($"{clients.Length} relayed connections at {Limit} descriptors");
    }

    /// <summary>Connects all at once, sends nothing for a while, and then has each of them echo. Returns how many did; the others were reset.</summary>
    private async Task<int> BurstAsync(Relay relay, int count)
    {
        int served;
        var sockets = new List<Socket>();
        try
        {
            Task<bool>[] connecting = [.. Enumerable.Range(0, count).Select(_ =>
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                sockets.Add(socket);
                return IsConnectedAsync(socket, relay.EndPoint);
            })];
            bool[] connected = await Task.WhenAll(connecting);
            for (int i = 0; i < 5; i++)
            {
                await AssertAliveAsync(relay);
                await Task.Delay(100, Soon);
            }

            bool[] answered = await Task.WhenAll(sockets.Zip(connected).Select(async pair => pair.Second && await IsServedAsync(pair.First)));
            await AssertAliveAsync(relay);
            served = answered.Count(each => each);
        }
        finally
        {
            sockets.ForEach(socket => socket.Dispose());
        }

        await AssertServesAgainAsync(relay);
        return served;
    }

    /// <summary>The host notices the clients' end one by one: the first that come may still be refused.</summary>
    private async Task AssertServesAgainAsync(Relay relay)
    {
        while (!await IsServedAsync(relay.EndPoint))
        {
            Assert.False(relay.Host.HasExited);
            await Task.Delay(20, Soon);
        }
    }

    private async Task AssertAliveAsync(Relay relay)
    {
        Assert.False(relay.Host.HasExited, string.Join('\n', relay.Host.Output.TakeLast(20)));
        using HttpResponseMessage answer = await Http.GetAsync(relay.Health, Soon);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    private async Task<Relay> StartRelayAsync(ServerProcess upstream, int limit, string? maxConnections)
    {
        int port = Ports.Free();
        (string, string)[] total = maxConnections is null ? [] : [("MaxConnections", maxConnections)];
        ServerProcess host = await HostAsync(
            [Limiter, string.Create(CultureInfo.InvariantCulture, $"--nofile={limit}:{limit}")],
            0,
            [
                ("Endpoints:relay:Url", $"tcp://127.0.0.1:{port}"),
                ("Endpoints:relay:Backlog", "4096"),
                ("Endpoints:relay:Handler", "relay"),
                ("Endpoints:relay:Relay:Upstreams:0", $"tcp://{upstream.EndPoint}"),
                .. total,
            ]);
        string admin = await PrintedAsync(host, Admin());
        int most = int.Parse(maxConnections ?? await PrintedAsync(host, Derived()), CultureInfo.InvariantCulture);
        return new Relay(host, new IPEndPoint(IPAddress.Loopback, port), new Uri($"{admin}/livez"), most);
    }

    private static async Task<string> PrintedAsync(ServerProcess host, Regex expression)
    {
        Match? match = await Patience.UntilAsync(
            () => host.Output.Select(line => expression.Match(line)).FirstOrDefault(found => found.Success), found => found is not null, awaited: expression.ToString());
        return match!.Groups[1].Value;
    }

    [GeneratedRegex(@"metrics are at (http://127\.0\.0\.1:\d+)")]
    private static partial Regex Admin();

    [GeneratedRegex(@"All endpoints together take (\d+) connections")]
    private static partial Regex Derived();

    /// <param name="Host">The process.</param>
    /// <param name="EndPoint">Where it relays.</param>
    /// <param name="Health">Its <c>/livez</c>.</param>
    /// <param name="MaxConnections">The connections that it takes, as configured or as it logged.</param>
    private sealed record Relay(ServerProcess Host, EndPoint EndPoint, Uri Health, int MaxConnections);
}
