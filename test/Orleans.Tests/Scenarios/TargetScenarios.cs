namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>Messages to connections, users, groups and all, with members on several hosts.</summary>
public sealed class TargetScenarios : ClusterScenario
{
    [Fact(Timeout = 180_000, Explicit = true)]
    public async Task Send_ToEachTargetOnOtherHosts_ReachesItsConnectionsAndNoOther()
    {
        Cluster cluster = await StartAsync();
        Client anna = await ConnectAsync(cluster.Hosts[0], "register anna", "red");
        Client bert = await ConnectAsync(cluster.Hosts[1], "register bert", "red");
        Client annaToo = await ConnectAsync(cluster.Hosts[2], "register anna", "red", "blue");
        Client sender = await ConnectAsync(cluster.Hosts[1]);

        await sender.SendAsync($"send connection:{annaToo.Id} connection\n");
        await sender.SendAsync("send user:anna user\n");
        await sender.SendAsync("send group:red group\n");
        await sender.SendAsync($"except {annaToo.Id} group:red except\n");
        await sender.SendAsync("send group:green none\n");
        await sender.SendAsync($"send connection:{annaToo.Id}x none\n");
        await sender.SendAsync("send all: all\n");
        await sender.SendAsync("send all: end\n");

        Assert.Equal("user group except all end", await TextsAsync(anna));
        Assert.Equal("group except all end", await TextsAsync(bert));
        Assert.Equal("connection user group all end", await TextsAsync(annaToo));
        Assert.Equal("all end", await TextsAsync(sender));
    }

    [Fact(Timeout = 240_000, Explicit = true)]
    public async Task Presence_AcrossHosts_IsIncompleteOnlyWhileAHostHangs()
    {
        Cluster cluster = await StartAsync();
        Client[] members = await Task.WhenAll(cluster.Hosts.Select((host, i) => ConnectAsync(host, $"register user-{i}", "red")));
        Client asking = await ConnectAsync(cluster.Hosts[0]);
        Assert.Equal(Answer("complete", members), await asking.PresenceAsync("group:red"));
        Assert.Equal(Answer("complete", members[2]), await asking.PresenceAsync("user:user-2"));
        Assert.Equal(Answer("complete", members[1]), await asking.PresenceAsync($"connection:{members[1].Id}"));
        Assert.Equal(Answer("complete", [.. members, asking]), await asking.PresenceAsync("all:"));
        Assert.Equal("complete", await asking.PresenceAsync("group:green"));

        await cluster.Hosts[2].FreezeAsync(lives: true);
        string hung = await asking.PresenceAsync("group:red");
        cluster.Hosts[2].Send(Signal.Continue, lives: true);
        Assert.Equal(Answer("incomplete", members[..2]), hung);
        await Patience.UntilAsync(() => asking.PresenceAsync("group:red"), answer => answer == Answer("complete", members));
    }

    [Fact(Timeout = 180_000, Explicit = true)]
    public async Task RegisterExclusive_NewerConnectionOnAnotherHost_ClosesTheOlderOne()
    {
        Cluster cluster = await StartAsync();
        Client older = await ConnectAsync(cluster.Hosts[0], "exclusive anna");
        Client other = await ConnectAsync(cluster.Hosts[0], "exclusive bert");
        Client newer = await ConnectAsync(cluster.Hosts[1], "exclusive anna");

        await older.Ended.WaitAsync(Patience.Limit, TestContext.Current.CancellationToken);
        await Patience.UntilAsync(() => cluster.Hosts[0].Reasons.GetValueOrDefault("replaced"), count => count == 1);
        Assert.Equal(Answer("complete", newer), await other.PresenceAsync("user:anna"));
        Assert.False(newer.Ended.IsCompleted);
        Assert.False(other.Ended.IsCompleted);
    }

    [Fact(Timeout = 180_000, Explicit = true)]
    public async Task RegisterExclusive_ConcurrentOnTwoHosts_ExactlyOneRemains()
    {
        const int Rounds = 20;
        Cluster cluster = await StartAsync();
        Client asking = await ConnectAsync(cluster.Hosts[2]);
        for (int i = 0; i < Rounds; i++)
        {
            Client[] both = await Task.WhenAll(Client.OpenAsync(cluster.Hosts[0]), Client.OpenAsync(cluster.Hosts[1]));
            Array.ForEach(both, client => Own(client));
            await Task.WhenAll(both.Select(client => client.SendAsync($"exclusive user-{i}\n")));

            await Patience.UntilAsync(() => both.Count(client => client.Ended.IsCompleted), ended => ended >= 1);
            await Patience.UntilAsync(() => asking.PresenceAsync($"user:user-{i}"), present => present.Split(' ') is ["complete", _]);
            Assert.Equal(1, both.Count(client => client.Ended.IsCompleted));
        }

        await Patience.UntilAsync(() => cluster.Hosts.Sum(host => host.Reasons.GetValueOrDefault("replaced")), count => count == Rounds);
    }

    private static string Answer(string completeness, params Client[] clients) =>
        string.Join(' ', [completeness, .. clients.Select(client => client.Id).Order(StringComparer.Ordinal)]);

    private static async Task<string> TextsAsync(Client client)
    {
        var texts = new List<string>();
        do
        {
            texts.Add(await client.TextAsync());
        }
        while (texts[^1] != "end");
        return string.Join(' ', texts);
    }
}
