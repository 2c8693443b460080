using System.Text;
using ByteStreams.Cluster.Links;

namespace ByteStreams.Cluster.Tests.Links;

/// <summary>The links between hosts over a network that drops, duplicates and delays batches.</summary>
public sealed class LinkTests : IDisposable
{
    private readonly LinkedHosts _hosts = new();

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    public void Dispose() => _hosts.Dispose();

    [Fact(Timeout = 60000)]
    public async Task Send_EachTarget_ReachesItsConnectionsOnEveryHost()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(3);
        LinkedMember anna = await hosts[0].ConnectAsync("anna", "red");
        LinkedMember bert = await hosts[1].ConnectAsync("bert", "red");
        LinkedMember carl = await hosts[2].ConnectAsync("bert", "blue");
        ByteStreamConnections from = hosts[0].Connections;

        await from.Group("red").SendAsync("group\n"u8.ToArray(), Test);
        await from.User("bert").SendAsync("user\n"u8.ToArray(), Test);
        await from.Connection(carl.Member.Id).SendAsync("connection\n"u8.ToArray(), Test);
        await from.All.Except(bert.Member.Id).SendAsync("all\n"u8.ToArray(), Test);
        await from.Group("green").SendAsync("none\n"u8.ToArray(), Test);

        await anna.AssertReceivesAsync("group\nall\n");
        await bert.AssertReceivesAsync("group\nuser\n");
        await carl.AssertReceivesAsync("user\nconnection\nall\n");
    }

    [Fact(Timeout = 60000)]
    public async Task Send_HostHasNoMember_IsNotSentToTheHost()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        LinkedMember member = await hosts[1].ConnectAsync(null, "red");
        await member.Member.LeaveAsync("red", Test);
        await Patience.UntilAsync(() => hosts[0].Backplane.Peers[0].Incoming.Interest.Count, now => now == 0);
        int before = Sent(hosts[0]);

        await hosts[0].Connections.Group("red").SendAsync("none\n"u8.ToArray(), Test);

        Assert.Equal(before, Sent(hosts[0]));
    }

    [Theory(Timeout = 60000)]
    [InlineData("ReplyDropped", 2)]
    [InlineData("Dropped", 0)]
    [InlineData("Failed", 0)]
    public async Task Send_BatchOrReplyIsLost_IsResentAndAppliedOnce(string fate, int duplicates)
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        LinkedMember member = await hosts[1].ConnectAsync(null, "red");
        int left = 2;
        long before = hosts[0].Metrics.ResentBatches;
        _hosts.Fates = (from, _, batch) => from.Equals(hosts[0].Address) && batch.Content.Length > 0 && left-- > 0 ? Enum.Parse<BatchFate>(fate) : BatchFate.Delivered;

        await hosts[0].Connections.Group("red").SendAsync("once\n"u8.ToArray(), Test);
        await hosts[0].Connections.Group("red").SendAsync("more\n"u8.ToArray(), Test);
        await _hosts.AdvanceUntilAsync(() => member.Received.Length >= 10 && hosts[0].Metrics.ResentBatches - before >= 2);

        Assert.Equal("once\nmore\n", member.Received);
        await Patience.UntilAsync(() => hosts[1].Metrics.DuplicateBatches, now => now == duplicates);
        Assert.Equal(0, hosts[0].Metrics.LostMessages);
    }

    [Fact(Timeout = 120000)]
    public async Task Send_NetworkDropsAndDuplicatesAtRandom_NoMessageIsLostDuplicatedOrReordered()
    {
        const int Messages = 2000;
        LinkedHost[] hosts = await _hosts.StartAsync(3);
        LinkedMember[] members = [await hosts[1].ConnectAsync(null, "red"), await hosts[2].ConnectAsync(null, "red")];
        // At most two faults in succession, so that no link reaches LinkTimeout.
        var random = new Random(1);
        var disturbed = new Dictionary<(SiloAddress, SiloAddress), int>();
        _hosts.Fates = (from, to, _) =>
        {
            int inARow = disturbed.GetValueOrDefault((from, to));
            BatchFate fate = inARow < 2 ? random.Next(6) switch { 0 => BatchFate.Dropped, 1 => BatchFate.ReplyDropped, 2 => BatchFate.Failed, _ => BatchFate.Delivered } : BatchFate.Delivered;
            disturbed[(from, to)] = fate == BatchFate.Delivered ? 0 : inARow + 1;
            return fate;
        };

        for (int message = 0; message < Messages; message++)
        {
            ValueTask sending = hosts[message % 2].Connections.Group("red").SendAsync(Encoding.ASCII.GetBytes($"{message}\n"), Test);
            await _hosts.AdvanceUntilAsync(() => sending.IsCompleted);
            await sending;
            if (message % 10 == 0)
            {
                await Task.Yield();
            }
        }

        foreach (LinkedMember member in members)
        {
            await _hosts.AdvanceUntilAsync(() => Numbers(member).Length >= Messages);
            int[] received = Numbers(member);
            Assert.Equal(Messages, received.Distinct().Count());
            Assert.Equal(Messages, received.Length);
            for (int sender = 0; sender < 2; sender++)
            {
                int[] ofSender = [.. received.Where(message => message % 2 == sender)];
                Assert.Equal(ofSender.Order(), ofSender);
            }
        }

        Assert.Equal((0, 0), (hosts[0].Metrics.LostMessages, hosts[1].Metrics.LostMessages));
    }

    [Fact(Timeout = 60000)]
    public async Task Send_HostDoesNotAnswerForLinkTimeout_IsDroppedAndCountedWithoutAWait()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        LinkedMember member = await hosts[1].ConnectAsync(null, "red");
        _hosts.Fates = (_, to, _) => to.Equals(hosts[1].Address) ? BatchFate.Dropped : BatchFate.Delivered;

        await hosts[0].Connections.Group("red").SendAsync("lost\n"u8.ToArray(), Test);
        await _hosts.AdvanceUntilAsync(() => hosts[0].Backplane.Peers[0].Outgoing.IsSuspect);
        await hosts[0].Connections.Group("red").SendAsync("lost too\n"u8.ToArray(), Test);
        await hosts[0].ConnectAsync(null, "blue");

        Assert.Equal(2, hosts[0].Metrics.LostMessages);
        Assert.Contains(hosts[0].Log.Collector.GetSnapshot(), line => line.Id.Id == 742);

        // The host answers again: it receives the new group and further messages.
        _hosts.Fates = (_, _, _) => BatchFate.Delivered;
        await _hosts.AdvanceUntilAsync(() => !hosts[0].Backplane.Peers[0].Outgoing.IsSuspect);
        await hosts[0].Connections.Group("red").SendAsync("back\n"u8.ToArray(), Test);
        await member.AssertReceivesAsync("back\n");
        Assert.True(hosts[1].Backplane.Peers[0].Incoming.Interest.Contains(GroupHash.Compute(ByteStreams.Groups.TargetKind.Group, "blue")));
        Assert.Contains(hosts[0].Log.Collector.GetSnapshot(), line => line.Id.Id == 743);
    }

    [Fact(Timeout = 60000)]
    public async Task Receive_BatchOlderThanLinkTimeout_IsRejected()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        LinkedMember member = await hosts[1].ConnectAsync(null, "red");
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Held : BatchFate.Delivered;
        await hosts[0].Connections.Group("red").SendAsync("old\n"u8.ToArray(), Test);
        await Patience.UntilAsync(() => _hosts.Held, now => now == 1);
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Dropped : BatchFate.Delivered;

        // Simulates a frozen sender. Both hosts share one clock here, so a held batch stands for the frozen one.
        _hosts.Time.Advance(TimeSpan.FromSeconds(5.1));
        _hosts.Release();

        Assert.Equal(string.Empty, member.Received);
        _hosts.Fates = (_, _, _) => BatchFate.Delivered;
        await _hosts.AdvanceUntilAsync(() => !hosts[0].Backplane.Peers[0].Outgoing.IsSuspect && hosts[0].Metrics.LostMessages == 1);
        await hosts[0].Connections.Group("red").SendAsync("new\n"u8.ToArray(), Test);
        await _hosts.AdvanceUntilAsync(() => member.Received.Length > 0);
        Assert.Equal("new\n", member.Received);
    }

    [Fact(Timeout = 60000)]
    public async Task Receive_SenderIsEvicted_IsFencedAndTheSenderDetectsItsEviction()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(3);
        LinkedMember member = await hosts[1].ConnectAsync(null, "red");

        _hosts.Meet(hosts[1], hosts[2]);
        await hosts[0].Connections.Group("red").SendAsync("fenced\n"u8.ToArray(), Test);

        await Patience.UntilAsync(() => hosts[0].Evictions.Count, now => now == 1);
        Assert.Contains("was evicted from the cluster", hosts[0].Backplane.NotReadyReason, StringComparison.Ordinal);
        Assert.Equal(1, hosts[1].Metrics.FencedBatches + hosts[2].Metrics.FencedBatches);
        await hosts[2].Connections.Group("red").SendAsync("living\n"u8.ToArray(), Test);
        await member.AssertReceivesAsync("living\n");
        Assert.Null(hosts[1].Backplane.NotReadyReason);
    }

    [Fact(Timeout = 60000)]
    public async Task Receive_SenderIsUnknown_IsAppliedAfterTheMembershipUpdate()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        LinkedHost added = _hosts.Add();
        var all = new HashSet<SiloAddress>([hosts[0].Address, hosts[1].Address, added.Address]);
        added.Backplane.Update(all, _ => false);

        await Patience.UntilAsync(() => hosts[0].Unknown > 0 && hosts[1].Unknown > 0);
        Assert.False(added.Backplane.WhenReady.IsCompleted);
        Assert.Contains("waiting for the groups of", added.Backplane.NotReadyReason, StringComparison.Ordinal);

        _hosts.Meet(hosts[0], hosts[1], added);
        await _hosts.AdvanceUntilAsync(() => added.Backplane.WhenReady.IsCompleted);
        Assert.Null(added.Backplane.NotReadyReason);
    }

    [Fact(Timeout = 60000)]
    public async Task WhenReady_HostDoesNotAnswer_CompletesAfterLinkTimeout()
    {
        LinkedHost[] hosts = [_hosts.Add(), _hosts.Add()];
        _hosts.Fates = (_, _, _) => BatchFate.Dropped;
        _hosts.Meet(hosts);

        _hosts.Time.Advance(TimeSpan.FromSeconds(4));
        Assert.False(hosts[0].Backplane.WhenReady.IsCompleted);
        await _hosts.AdvanceUntilAsync(() => hosts[0].Backplane.WhenReady.IsCompleted);
    }

    [Fact(Timeout = 60000)]
    public async Task Join_HostsAnswer_CompletesAfterAllAcknowledgements()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(3);
        _hosts.Fates = (_, to, _) => to.Equals(hosts[2].Address) ? BatchFate.Held : BatchFate.Delivered;
        LinkedMember first = hosts[0].Connect();
        LinkedMember second = hosts[0].Connect();

        Task joining = first.Member.JoinAsync("red", Test).AsTask();
        Task joiningToo = second.Member.JoinAsync("red", Test).AsTask();
        await Patience.UntilAsync(() => _hosts.Held, now => now > 0);
        Assert.False(joining.IsCompleted);
        Assert.False(joiningToo.IsCompleted);
        _hosts.Fates = (_, _, _) => BatchFate.Delivered;
        _hosts.Release();

        await Task.WhenAll(joining, joiningToo).WaitAsync(Patience.Limit, Test);
        await hosts[2].Connections.Group("red").SendAsync("1\n"u8.ToArray(), Test);
        await first.AssertReceivesAsync("1\n");
        await second.AssertReceivesAsync("1\n");
    }

    [Fact(Timeout = 60000)]
    public async Task Join_HostDoesNotAnswer_CompletesAfterJoinTimeout()
    {
        _hosts.Configure = options => options.JoinTimeout = TimeSpan.FromSeconds(1);
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        _hosts.Fates = (_, to, _) => to.Equals(hosts[1].Address) ? BatchFate.Dropped : BatchFate.Delivered;

        Task joining = hosts[0].Connect().Member.JoinAsync("red", Test).AsTask();
        Assert.False(joining.IsCompleted);
        _hosts.Time.Advance(TimeSpan.FromSeconds(1.1));

        await joining.WaitAsync(Patience.Limit, Test);
        Assert.False(hosts[0].Backplane.Peers[0].Outgoing.IsSuspect);
    }

    [Fact(Timeout = 60000)]
    public async Task Join_Canceled_CancelsTheWaitAndTheConnectionIsAMember()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        _hosts.Fates = (_, to, _) => to.Equals(hosts[1].Address) ? BatchFate.Held : BatchFate.Delivered;
        LinkedMember member = hosts[0].Connect();
        using var token = new CancellationTokenSource();
        Task joining = member.Member.JoinAsync("red", token.Token).AsTask();

        await token.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => joining);
        await hosts[0].Connections.Group("red").SendAsync("1\n"u8.ToArray(), Test);
        await member.AssertReceivesAsync("1\n");
    }

    [Fact(Timeout = 60000)]
    public async Task Send_QueueIsFull_WaitsInOrderUntilTheHostAnswers()
    {
        _hosts.Configure = options => options.LinkQueue = 64 << 10;
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        LinkedMember member = await hosts[1].ConnectAsync(null, "red");
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Held : BatchFate.Delivered;
        ByteStreamTarget red = hosts[0].Connections.Group("red");
        byte[] large = Encoding.ASCII.GetBytes(new string('x', 60_000) + "\n");

        Assert.True(red.SendAsync(large, Test).AsTask().IsCompleted);
        using var token = new CancellationTokenSource();
        Task second = red.SendAsync(large, Test).AsTask();
        Task given = red.SendAsync("canceled\n"u8.ToArray(), token.Token).AsTask();
        Task third = red.SendAsync("third\n"u8.ToArray(), Test).AsTask();
        await token.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => given);
        Assert.False(second.IsCompleted);
        Assert.False(third.IsCompleted);
        Assert.InRange(hosts[0].Backplane.Peers[0].Outgoing.Queued, 60_000, 64 << 10);
        // A batch is sent on another thread: its fate must not change before.
        await Patience.UntilAsync(() => _hosts.Held, now => now > 0);
        _hosts.Fates = (_, _, _) => BatchFate.Delivered;
        _hosts.Release();

        await Task.WhenAll(second, third).WaitAsync(Patience.Limit, Test);
        await Patience.UntilAsync(() => member.Received.Length, now => now >= 120_008);
        Assert.EndsWith("x\nthird\n", member.Received, StringComparison.Ordinal);
        Assert.Equal(0, hosts[0].Metrics.LostMessages);
    }

    [Fact(Timeout = 60000)]
    public async Task Send_QueueIsFullAndTheHostDoesNotAnswer_CompletesAfterLinkTimeout()
    {
        _hosts.Configure = options => options.LinkQueue = 64 << 10;
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        await hosts[1].ConnectAsync(null, "red");
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Dropped : BatchFate.Delivered;
        ByteStreamTarget red = hosts[0].Connections.Group("red");

        Assert.True(red.SendAsync(new byte[60_000], Test).AsTask().IsCompleted);
        Task second = red.SendAsync(new byte[60_000], Test).AsTask();
        Assert.False(second.IsCompleted);
        await _hosts.AdvanceUntilAsync(() => second.IsCompleted);

        await second;
        Assert.Equal(2, hosts[0].Metrics.LostMessages);
    }

    [Fact(Timeout = 60000)]
    public async Task Send_QueueIsFullAndTheHostLeaves_Completes()
    {
        _hosts.Configure = options => options.LinkQueue = 64 << 10;
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        await hosts[1].ConnectAsync(null, "red");
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Dropped : BatchFate.Delivered;
        ByteStreamTarget red = hosts[0].Connections.Group("red");
        Assert.True(red.SendAsync(new byte[60_000], Test).AsTask().IsCompleted);
        Task second = red.SendAsync(new byte[60_000], Test).AsTask();

        _hosts.Meet(hosts[0]);

        await second.WaitAsync(Patience.Limit, Test);
    }

    [Fact(Timeout = 60000)]
    public async Task Send_MessageLongerThanTheQueue_ThrowsWithTheRemedy()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);

        ArgumentException refused = await Assert.ThrowsAsync<ArgumentException>(
            () => hosts[0].Connections.All.SendAsync(new byte[(4 << 20) + 1], Test).AsTask());

        Assert.StartsWith(
            "The message has 4194305 bytes and exceeds ByteStreams:Cluster:LinkQueue, 4194304. Split the message, or raise the limit.",
            refused.Message,
            StringComparison.Ordinal);
    }

    [Fact(Timeout = 60000)]
    public async Task RegisterExclusive_OnAnotherHost_ClosesTheOlderConnection()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(3);
        LinkedMember older = hosts[0].Connect("anna", isExclusive: true);
        await Patience.UntilAsync(() => hosts[1].Backplane.Peers[0].Incoming.Interest.Count, now => now == 1);
        LinkedMember newer = hosts[1].Connect("anna", isExclusive: true);

        await Patience.UntilAsync(() => hosts[0].Connections.Count, now => now == 0);
        Assert.Equal(1, hosts[1].Connections.Count);
        Assert.NotEqual(older.Member.Id, newer.Member.Id);
    }

    [Fact(Timeout = 60000)]
    public async Task RegisterExclusive_ConcurrentOnTwoHosts_OneRemains()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        _hosts.Fates = (_, _, _) => BatchFate.Held;
        hosts[0].Connect("anna", isExclusive: true);
        // Both hosts assign the same number, because their clocks are equal: the ids decide.
        hosts[1].Connect("anna", isExclusive: true);
        await Patience.UntilAsync(() => _hosts.Held, now => now == 2);

        _hosts.Fates = (_, _, _) => BatchFate.Delivered;
        _hosts.Release();

        await _hosts.AdvanceUntilAsync(() => hosts[0].Connections.Count + hosts[1].Connections.Count == 1);
    }

    [Fact(Timeout = 60000)]
    public async Task RegisterExclusive_OnAHostWhoseClockIsBehind_TheNewerNumberStays()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        _hosts.Fates = (_, _, _) => BatchFate.Held;
        LinkedMember ahead = hosts[0].Connect("anna", isExclusive: true);
        // Setting the shared clock back is equivalent to a second clock that is late.
        _hosts.Time.AdjustTime(_hosts.Time.GetUtcNow() - TimeSpan.FromSeconds(1));
        hosts[1].Connect("anna", isExclusive: true);
        await Patience.UntilAsync(() => _hosts.Held, now => now == 2);

        _hosts.Fates = (_, _, _) => BatchFate.Delivered;
        _hosts.Release();

        await _hosts.AdvanceUntilAsync(() => hosts[1].Connections.Count == 0);
        Assert.Equal(1, hosts[0].Connections.Count);
        // From then on it is ahead of the number that it has seen.
        LinkedMember newer = hosts[1].Connect("anna", isExclusive: true);
        await _hosts.AdvanceUntilAsync(() => hosts[0].Connections.Count == 0);
        Assert.True(newer.Member.Number > ahead.Member.Number);
    }

    [Fact(Timeout = 60000)]
    public async Task Presence_OneHostDoesNotAnswer_IsIncomplete()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(3);
        LinkedMember anna = await hosts[0].ConnectAsync("anna", "red");
        LinkedMember bert = await hosts[1].ConnectAsync("bert", "red");
        await hosts[2].ConnectAsync("carl", "red");

        PresenceSnapshot all = await hosts[0].Connections.Group("red").Except(anna.Member.Id).PresenceAsync(Test);
        Assert.True(all.IsComplete);
        Assert.Equal(["bert", "carl"], all.Connections.Select(connection => connection.User).Order(StringComparer.Ordinal));
        PresenceSnapshot one = await hosts[0].Connections.Connection(bert.Member.Id).PresenceAsync(Test);
        Assert.Equal([bert.Member.Id], one.Connections.Select(connection => connection.Id));

        _hosts.Fates = (_, to, _) => to.Equals(hosts[2].Address) ? BatchFate.Dropped : BatchFate.Delivered;
        await _hosts.AdvanceUntilAsync(() => hosts[0].Backplane.Peers.Any(peer => peer.Outgoing.IsSuspect));
        PresenceSnapshot some = await hosts[0].Connections.Group("red").PresenceAsync(Test);
        Assert.False(some.IsComplete);
        Assert.Equal(["anna", "bert"], some.Connections.Select(connection => connection.User).Order(StringComparer.Ordinal));
    }

    [Theory(Timeout = 60000)]
    [InlineData(new byte[] { 99 })]
    [InlineData(new byte[] { 1, 2, 3 })]
    [InlineData(new byte[] { 4, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F })]
    [InlineData(new byte[] { 4, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF })]
    public async Task Receive_InvalidBatch_IsRejectedAndLogged(byte[] content)
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        long epoch = 1 + _hosts.LastEpoch;

        LinkReply reply = hosts[0].Backplane.Receive(new LinkBatch { Sender = hosts[1].Address, Epoch = epoch, Number = 1, Content = content });

        Assert.Equal(LinkReply.Renew, reply);
        Assert.Contains(hosts[0].Log.Collector.GetSnapshot(), line => line.Id.Id == 746);
    }

    [Fact(Timeout = 60000)]
    public async Task Receive_NumberIsMissing_IsRejected()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        long epoch = 1 + _hosts.LastEpoch;
        LinkReply Receive(int number) =>
            hosts[0].Backplane.Receive(new LinkBatch { Sender = hosts[1].Address, Epoch = epoch, Number = number, Content = [(byte)LinkEntry.InterestComplete] });

        Assert.Equal(LinkReply.Accepted, Receive(1));
        Assert.Equal(LinkReply.Accepted, Receive(1));
        Assert.Equal(LinkReply.Renew, Receive(3));
        // The epoch stays rejected, also for the missing number: the sender must start a new one.
        Assert.Equal(LinkReply.Renew, Receive(2));
    }

    [Fact(Timeout = 60000)]
    public async Task SetStoreError_ErrorThenNull_SetsAndClearsNotReadyReason()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(1);
        Assert.Null(hosts[0].Backplane.NotReadyReason);

        hosts[0].Backplane.SetStoreError("The store is empty.");
        Assert.Equal("The store is empty.", hosts[0].Backplane.NotReadyReason);
        hosts[0].Backplane.SetStoreError(null);
        Assert.Null(hosts[0].Backplane.NotReadyReason);
    }

    [Fact(Timeout = 60000)]
    public async Task ClusterMaxConnections_HostLeaves_ShareIsRecomputed()
    {
        _hosts.Configure = options => options.ClusterMaxConnections = 100;
        LinkedHost[] hosts = await _hosts.StartAsync(3);
        Assert.Equal(33, hosts[0].Total.Permits.Most);

        _hosts.Meet(hosts[0], hosts[1]);
        Assert.Equal(50, hosts[0].Total.Permits.Most);

        // Before it knows the other hosts, a host has no share.
        Assert.Equal(0, _hosts.Add().Total.Permits.Most);

        // The host's own limit applies as well.
        hosts[0].Total.Change(20, relays: false);
        Assert.Equal(20, hosts[0].Total.Permits.Most);
    }

    /// <summary>A batch with many receivers takes longer to apply than the retry delay. The busy host answers and does not become suspect.</summary>
    [Fact(Timeout = 60000)]
    public async Task Receive_BatchIsBeingApplied_RepliesWorking()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        using var release = new ManualResetEventSlim();
        var slow = new SlowPipe(release);
        ByteStreamMember member = hosts[1].Connections.Register(new ByteStreamWriter(slow));
        await member.JoinAsync("red", Test);
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.DeliveredAsync : BatchFate.Delivered;

        await hosts[0].Connections.Group("red").SendAsync("slow\n"u8.ToArray(), Test);
        await slow.Begun.Task.WaitAsync(Patience.Limit, Test);
        // Longer than LinkTimeout; the sender retries in that time.
        await _hosts.AdvanceWhileBusyAsync(hosts[0], TimeSpan.FromSeconds(10));

        Assert.False(hosts[0].Backplane.Peers[0].Outgoing.IsSuspect);
        Assert.InRange(hosts[0].Metrics.ResentBatches, 2, 100);
        release.Set();
        await _hosts.AdvanceUntilAsync(() => hosts[0].Backplane.Peers[0].Outgoing.Queued == 0);
        Assert.Equal((0, 1), (hosts[0].Metrics.LostMessages, slow.Written));
    }

    /// <summary>The queued messages become older than LinkTimeout, but the link is never silent.</summary>
    [Fact(Timeout = 60000)]
    public async Task Receive_BatchIsBeingAppliedForLong_WhatIsQueuedArrivesInOrder()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        using var release = new ManualResetEventSlim();
        var slow = new SlowPipe(release);
        await hosts[1].Connections.Register(new ByteStreamWriter(slow)).JoinAsync("slow", Test);
        LinkedMember member = await hosts[1].ConnectAsync(null, "red");
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.DeliveredAsync : BatchFate.Delivered;

        await hosts[0].Connections.Group("slow").SendAsync("slow\n"u8.ToArray(), Test);
        await slow.Begun.Task.WaitAsync(Patience.Limit, Test);
        for (int i = 0; i < 5; i++)
        {
            // Each is a batch.
            await hosts[0].Connections.Group("red").SendAsync(Encoding.ASCII.GetBytes($"{i}".PadLeft(70_000, '0') + "\n"), Test);
        }

        await _hosts.AdvanceWhileBusyAsync(hosts[0], TimeSpan.FromSeconds(15));
        release.Set();
        await _hosts.AdvanceUntilAsync(() => Numbers(member).Length == 5);
        Assert.Equal([0, 1, 2, 3, 4], Numbers(member));
        Assert.Equal(0, hosts[0].Metrics.LostMessages);
    }

    /// <summary>Joins have no limit of their own, and must not take that of messages.</summary>
    [Fact(Timeout = 60000)]
    public async Task Send_ManyJoinsAreQueued_DoesNotWaitForThem()
    {
        _hosts.Configure = options => options.LinkQueue = 64 << 10;
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        await hosts[1].ConnectAsync(null, "red");
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Held : BatchFate.Delivered;
        LinkedMember joining = hosts[0].Connect();
        for (int i = 0; i < 1000; i++)
        {
            _ = joining.Member.JoinAsync($"group-{i}", Test).AsTask();
        }

        Task sending = hosts[0].Connections.Group("red").SendAsync(new byte[60_000], Test).AsTask();

        Assert.True(sending.IsCompleted);
        Assert.InRange(hosts[0].Backplane.Peers[0].Outgoing.Queued, 69_000, 80_000);
    }

    /// <summary>The other host heard nothing of this one for too long: what it knew of its groups may be old.</summary>
    [Fact(Timeout = 60000)]
    public async Task Send_MemberJoinedWhileItsHostWasNotHeard_Arrives()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Dropped : BatchFate.Delivered;
        await _hosts.AdvanceUntilAsync(() => hosts[0].Backplane.Peers[0].Outgoing.IsSuspect);
        LinkedMember member = await hosts[0].ConnectAsync(null, "red");

        await hosts[1].Connections.Group("red").SendAsync("1\n"u8.ToArray(), Test);

        await member.AssertReceivesAsync("1\n");
        Assert.Single((await hosts[1].Connections.Group("red").PresenceAsync(Test)).Connections);
    }

    [Fact(Timeout = 60000)]
    public async Task Send_HostIsHeardAgainAndItsGroupsAreOnTheirWay_Arrives()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        SiloAddress self = hosts[0].Address;
        _hosts.Fates = (from, _, _) => from.Equals(self) ? BatchFate.Dropped : BatchFate.Delivered;
        await _hosts.AdvanceUntilAsync(() => hosts[0].Backplane.Peers[0].Outgoing.IsSuspect);
        LinkedMember first = await hosts[0].ConnectAsync(null, "red");

        // The first batch of an epoch is empty; the groups follow.
        _hosts.Fates = (from, _, batch) => from.Equals(self) && batch.Content.Length > 0 ? BatchFate.Held : BatchFate.Delivered;
        await _hosts.AdvanceUntilAsync(() => !hosts[0].Backplane.Peers[0].Outgoing.IsSuspect);
        LinkedMember second = await hosts[0].ConnectAsync(null, "red");
        await hosts[1].Connections.Group("red").SendAsync("1\n"u8.ToArray(), Test);

        await first.AssertReceivesAsync("1\n");
        await second.AssertReceivesAsync("1\n");
        _hosts.Fates = (_, _, _) => BatchFate.Delivered;
        _hosts.Release();
        await _hosts.AdvanceUntilAsync(() => hosts[1].Backplane.Peers[0].Incoming.Interest.IsComplete);
        Assert.Equal(1, hosts[1].Backplane.Peers[0].Incoming.Interest.Count);
    }

    /// <summary>A host of another version refuses each batch: its senders must not wait for good.</summary>
    [Fact(Timeout = 60000)]
    public async Task Send_HostRefusesEachBatch_BecomesSuspect()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Rejected : BatchFate.Delivered;

        await hosts[0].Connections.All.SendAsync("1\n"u8.ToArray(), Test);

        await _hosts.AdvanceUntilAsync(() => hosts[0].Backplane.Peers[0].Outgoing.IsSuspect);
        _hosts.Fates = (_, _, _) => BatchFate.Delivered;
        await _hosts.AdvanceUntilAsync(() => !hosts[0].Backplane.Peers[0].Outgoing.IsSuspect);
    }

    /// <summary>A host that answers, and has not read the membership yet, is waited for.</summary>
    [Fact(Timeout = 60000)]
    public async Task Ready_HostDoesNotKnowThisOneForLong_IsWaitedFor()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        LinkedHost added = _hosts.Add();
        added.Backplane.Update(new HashSet<SiloAddress>([hosts[0].Address, hosts[1].Address, added.Address]), _ => false);

        await _hosts.AdvanceUntilAsync(() => added.Backplane.Peers.All(peer => peer.Outgoing.IsSuspect));
        Assert.False(added.Backplane.WhenReady.IsCompleted);

        _hosts.Meet(hosts[0], hosts[1], added);
        await _hosts.AdvanceUntilAsync(() => added.Backplane.WhenReady.IsCompleted);
    }

    [Fact(Timeout = 60000)]
    public async Task Receive_BatchFailsAfterAMessage_MessageIsNotDeliveredAgain()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        LinkedMember member = await hosts[1].ConnectAsync(null, "red");
        long epoch = 1 + _hosts.LastEpoch;
        var chunk = new LinkChunk();
        chunk.AddMessage(ByteStreams.Groups.TargetKind.Group, "red", null, "once\n"u8);
        var batch = new LinkBatch { Sender = hosts[0].Address, Epoch = epoch, Number = 1, Content = [.. chunk.ToContent(), 99] };

        Assert.Equal(LinkReply.Renew, hosts[1].Backplane.Receive(batch));
        Assert.Equal(LinkReply.Renew, hosts[1].Backplane.Receive(batch));

        Assert.Equal("once\n", member.Received);
    }

    [Fact(Timeout = 60000)]
    public async Task Receive_UnsupportedFormat_IsRejectedAndLogged()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        long epoch = 1 + _hosts.LastEpoch;

        LinkReply reply = hosts[1].Backplane.Receive(new LinkBatch { Sender = hosts[0].Address, Epoch = epoch, Number = 1, Content = [], Format = 2 });

        Assert.Equal(LinkReply.Renew, reply);
        Assert.Contains(hosts[1].Log.Collector.GetSnapshot(), line => line.Exception is { Message: "Unsupported batch format 2; this version supports 1." });
    }

    [Fact(Timeout = 60000)]
    public async Task Join_HostRejectsTheEpoch_CompletesAfterTheNextFullAnnouncement()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        // Only this direction was idle, as after a pause of the other host.
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Held : BatchFate.Delivered;
        LinkedMember member = hosts[0].Connect();
        Task joining = member.Member.JoinAsync("red", Test).AsTask();
        await Patience.UntilAsync(() => _hosts.Held, now => now == 1);
        _hosts.RefuseHeld();
        // It has begun again: the first batch of the next epoch is held as well.
        await _hosts.AdvanceUntilAsync(() => _hosts.Held == 1);

        Assert.False(joining.IsCompleted);
        _hosts.Fates = (_, _, _) => BatchFate.Delivered;
        _hosts.Release();
        await _hosts.AdvanceUntilAsync(() => joining.IsCompleted);
        Assert.True(hosts[1].Backplane.Peers[0].Incoming.Interest.Contains(GroupHash.Compute(ByteStreams.Groups.TargetKind.Group, "red")));
    }

    [Fact(Timeout = 60000)]
    public async Task Join_HostLeaves_Completes()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Dropped : BatchFate.Delivered;
        Task joining = hosts[0].Connect().Member.JoinAsync("red", Test).AsTask();
        await Patience.UntilAsync(() => hosts[0].Backplane.Peers[0].Outgoing.Queued > 0);
        Assert.False(joining.IsCompleted);

        _hosts.Meet(hosts[0]);

        await joining.WaitAsync(Patience.Limit, Test);
    }

    [Fact(Timeout = 60000)]
    public async Task Join_HostIsLeaving_CompletesWithoutIt()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        hosts[1].Backplane.Dispose();

        await hosts[0].Connect().Member.JoinAsync("red", Test).AsTask().WaitAsync(Patience.Limit, Test);

        Assert.True(hosts[0].Backplane.Peers[0].Outgoing.IsClosed);
    }

    /// <summary>A host that leaves has closed its connections: nothing is lost, and it is not silent.</summary>
    [Fact(Timeout = 60000)]
    public async Task Send_HostIsLeaving_IsNeitherLostNorSuspect()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(3);
        LinkedMember member = await hosts[2].ConnectAsync();
        hosts[1].Backplane.Dispose();

        await hosts[0].Connections.All.SendAsync("1\n"u8.ToArray(), Test);
        await Patience.UntilAsync(() => hosts[0].Backplane.Peers[0].Outgoing.IsClosed);
        await hosts[0].Connections.All.SendAsync("2\n"u8.ToArray(), Test);

        await member.AssertReceivesAsync("1\n2\n");
        PresenceSnapshot all = await hosts[0].Connections.All.PresenceAsync(Test);
        Assert.Equal((true, 1), (all.IsComplete, all.Connections.Count));
        Assert.Equal((0, 0), (hosts[0].Metrics.LostMessages, hosts[0].Backplane.Peers.Count(peer => peer.Outgoing.IsSuspect)));
        Assert.DoesNotContain(hosts[0].Log.Collector.GetSnapshot(), line => line.Level >= Microsoft.Extensions.Logging.LogLevel.Warning);
    }

    [Fact(Timeout = 60000)]
    public async Task Flush_BatchesAreUnderWay_CompletesWhenTheyAreApplied()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        LinkedMember member = await hosts[1].ConnectAsync(null, "red");
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Held : BatchFate.Delivered;
        ByteStreamTarget red = hosts[0].Connections.Group("red");
        await red.SendAsync("1\n"u8.ToArray(), Test);
        await Patience.UntilAsync(() => _hosts.Held, now => now == 1);
        await red.SendAsync("2\n"u8.ToArray(), Test);

        Task flushing = hosts[0].Backplane.FlushAsync(Test);
        Assert.False(flushing.IsCompleted);
        _hosts.Fates = (_, _, _) => BatchFate.Delivered;
        _hosts.Release();

        await flushing.WaitAsync(Patience.Limit, Test);
        Assert.Equal("1\n2\n", member.Received);
    }

    [Fact(Timeout = 60000)]
    public async Task Flush_TokenFires_EndsAndIsLogged()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        await hosts[1].ConnectAsync(null, "red");
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Held : BatchFate.Delivered;
        await hosts[0].Connections.Group("red").SendAsync("1\n"u8.ToArray(), Test);
        using var token = new CancellationTokenSource();

        Task flushing = hosts[0].Backplane.FlushAsync(token.Token);
        Assert.False(flushing.IsCompleted);
        await token.CancelAsync();

        await flushing.WaitAsync(Patience.Limit, Test);
        Assert.Contains(hosts[0].Log.Collector.GetSnapshot(), line => line.Id.Id == 756);
    }

    [Fact(Timeout = 60000)]
    public async Task Send_BeforeTheOtherHostsAreKnown_IsInOrderAlsoIfASenderGivesUp()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        LinkedMember member = await hosts[0].ConnectAsync(null, "red");
        LinkedHost added = _hosts.Add();
        ByteStreamTarget red = added.Connections.Group("red");
        using var token = new CancellationTokenSource();
        List<Task> sending = [];
        for (int i = 0; i < 100; i++)
        {
            sending.Add(red.SendAsync(Encoding.ASCII.GetBytes($"{i}\n"), i == 50 ? token.Token : Test).AsTask());
        }

        await token.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending[50]);
        Assert.False((await red.PresenceAsync(Test)).IsComplete);
        _hosts.Meet(hosts[0], hosts[1], added);
        await _hosts.AdvanceUntilAsync(() => added.Backplane.WhenReady.IsCompleted);
        sending.Add(red.SendAsync("100\n"u8.ToArray(), Test).AsTask());

        await Task.WhenAll(sending.Where(task => task != sending[50])).WaitAsync(Patience.Limit, Test);
        await Patience.UntilAsync(() => Numbers(member).Length, now => now >= 100);
        Assert.Equal(Enumerable.Range(0, 101).Where(number => number != 50), Numbers(member));
    }

    [Fact(Timeout = 60000)]
    public async Task Send_BeforeReady_WaitsAndIsDelivered()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        LinkedMember member = await hosts[0].ConnectAsync(null, "red");
        LinkedHost added = _hosts.Add();
        Task sending = added.Connections.Group("red").SendAsync("early\n"u8.ToArray(), Test).AsTask();
        Assert.False(sending.IsCompleted);

        _hosts.Meet(hosts[0], hosts[1], added);
        await _hosts.AdvanceUntilAsync(() => sending.IsCompleted);

        await sending;
        await member.AssertReceivesAsync("early\n");
    }

    [Fact(Timeout = 60000)]
    public async Task Evict_HostJoinsLater_NothingIsSentToIt()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        hosts[0].Backplane.Evict("a test");
        LinkedHost added = _hosts.Add();
        int before = Sent(hosts[0]);

        _hosts.Meet(hosts[0], hosts[1], added);
        await hosts[0].Connections.All.SendAsync("none\n"u8.ToArray(), Test);

        Assert.True(hosts[0].Backplane.IsEvicted);
        Assert.Equal(["a test"], hosts[0].Evictions);
        Assert.Equal(before, Sent(hosts[0]));
    }

    [Fact(Timeout = 60000)]
    public async Task Dispose_BeforeReady_ReleasesHandlersAndSenders()
    {
        LinkedHost host = _hosts.Add();
        Task sending = host.Connections.All.SendAsync("none\n"u8.ToArray(), Test).AsTask();

        host.Backplane.Dispose();

        await sending.WaitAsync(Patience.Limit, Test);
        Assert.True(host.Backplane.WhenReady.IsCanceled);
    }

    /// <summary>Groups announced before an idle time must not survive the next full announcement.</summary>
    [Fact(Timeout = 60000)]
    public async Task Renew_GroupLeftWhileSuspect_IsRemoved()
    {
        LinkedHost[] hosts = await _hosts.StartAsync(2);
        LinkedMember member = await hosts[0].ConnectAsync(null, "red", "blue");
        _hosts.Fates = (from, _, _) => from.Equals(hosts[0].Address) ? BatchFate.Dropped : BatchFate.Delivered;
        await member.Member.LeaveAsync("red", Test);
        await _hosts.AdvanceUntilAsync(() => hosts[0].Backplane.Peers[0].Outgoing.IsSuspect);

        _hosts.Fates = (_, _, _) => BatchFate.Delivered;
        await _hosts.AdvanceUntilAsync(() => hosts[1].Backplane.Peers[0].Incoming.Interest.Count == 1);
        Assert.True(hosts[1].Backplane.Peers[0].Incoming.Interest.Contains(GroupHash.Compute(ByteStreams.Groups.TargetKind.Group, "blue")));
    }

    // Not a theory: its arguments are serialised as UTF-8.
    [Fact]
    public void Group_NameWithUnpairedSurrogate_Throws()
    {
        var connections = new ByteStreamConnections();

        foreach (string name in (string[])["\uD800", "a\uDC00b", "\uD800\uD800\uDC00"])
        {
            ArgumentException refused = Assert.Throws<ArgumentException>(() => connections.Group(name));
            Assert.Contains("unpaired surrogate at index", refused.Message, StringComparison.Ordinal);
        }

        connections.Group("a\uD83D\uDE00b");
    }

    [Fact]
    public void LocalInterest_HashCollision_StaysUntilTheLastGroupIsRemoved()
    {
        var interest = new LocalInterest();

        Assert.True(interest.Add(7));
        Assert.False(interest.Add(7));
        Assert.False(interest.Remove(7));
        Assert.Equal([7UL], interest.Groups);
        Assert.True(interest.Remove(7));
        Assert.Equal(0, interest.Count);
    }

    [Fact]
    public void GetHostId_OtherGeneration_ReturnsAnotherIdOf13Digits()
    {
        SiloAddress address = SiloAddress.FromParsableString("127.0.0.1:11111@1");

        string id = ClusterBackplane.GetHostId(address);

        Assert.Matches("^[0-9a-hjkmnp-tv-z]{13}$", id);
        Assert.NotEqual(id, ClusterBackplane.GetHostId(SiloAddress.FromParsableString("127.0.0.1:11111@2")));
    }

    private static int[] Numbers(LinkedMember member) => [.. member.Received.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)];

    private int Sent(LinkedHost host)
    {
        lock (_hosts.Batches)
        {
            return _hosts.Batches.Count(batch => batch.Sender.Equals(host.Address));
        }
    }

    /// <summary>A PipeWriter that blocks until it is released.</summary>
    private sealed class SlowPipe(ManualResetEventSlim release) : System.IO.Pipelines.PipeWriter
    {
        private readonly byte[] _buffer = new byte[4096];

        public TaskCompletionSource Begun { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Written { get; private set; }

        public override Memory<byte> GetMemory(int sizeHint = 0) => _buffer;

        public override Span<byte> GetSpan(int sizeHint = 0) => _buffer;

        public override void Advance(int bytes)
        {
            Begun.TrySetResult();
            release.Wait(Patience.Limit);
            Written++;
        }

        public override ValueTask<System.IO.Pipelines.FlushResult> FlushAsync(CancellationToken cancellationToken = default) => default;

        public override void CancelPendingFlush()
        {
        }

        public override void Complete(Exception? exception = null)
        {
        }
    }
}
