using System.IO.Pipelines;
using System.Text;
using ByteStreams.Connections;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Groups;

/// <summary>Messages to a connection, a user, a group or all, on one host.</summary>
public sealed class ByteStreamConnectionsTests
{
    private static CancellationToken Test => TestContext.Current.CancellationToken;

    [Fact(Timeout = 60000)]
    public async Task Send_ToEachTarget_ReachesItsConnectionsAndNoOther()
    {
        await using GroupServer groups = await GroupServer.StartAsync();
        (ByteStreamConnection anna1, ByteStreamMember first) = await groups.ConnectAsync("anna", "red");
        (ByteStreamConnection anna2, _) = await groups.ConnectAsync("anna", "blue");
        (ByteStreamConnection bert, ByteStreamMember last) = await groups.ConnectAsync("bert", "red", "blue");

        await groups.Connections.Connection(first.Id).SendAsync("connection\n"u8.ToArray(), Test);
        await groups.Connections.User("anna").SendAsync("user\n"u8.ToArray(), Test);
        await groups.Connections.Group("red").SendAsync("group\n"u8.ToArray(), Test);
        await groups.Connections.Group("red").Except(last.Id).SendAsync("others\n"u8.ToArray(), Test);
        await groups.Connections.Group("green").SendAsync("none\n"u8.ToArray(), Test);
        await groups.Connections.Connection("none").SendAsync("none\n"u8.ToArray(), Test);
        await groups.Connections.All.SendAsync("all\n"u8.ToArray(), Test);

        Assert.Equal("connection\nuser\ngroup\nothers\nall\n", await ReadAsync(anna1, 5));
        Assert.Equal("user\nall\n", await ReadAsync(anna2, 2));
        Assert.Equal("group\nall\n", await ReadAsync(bert, 2));
        Assert.Equal((7, 9), (groups.Connections.Sends, groups.Connections.Deliveries));
    }

    [Fact(Timeout = 60000)]
    public async Task Leave_ThenJoinAgain_ReceivesOnlyMessagesSentWhileAMember()
    {
        await using GroupServer groups = await GroupServer.StartAsync();
        (ByteStreamConnection client, ByteStreamMember member) = await groups.ConnectAsync("-", "red");
        ByteStreamTarget red = groups.Connections.Group("red");

        await red.SendAsync("1\n"u8.ToArray(), Test);
        await member.LeaveAsync("red", Test);
        await red.SendAsync("2\n"u8.ToArray(), Test);
        Assert.Equal(0, groups.Connections.GroupCount);
        await member.JoinAsync("red", Test);
        await member.JoinAsync("red", Test);
        await red.SendAsync("3\n"u8.ToArray(), Test);

        Assert.Equal("1\n3\n", await ReadAsync(client, 2));
        Assert.Equal([new GroupSnapshot("red", 1)], groups.Connections.Groups());
    }

    [Fact(Timeout = 60000)]
    public async Task Register_ConnectionCloses_RemovesTheMemberFromAllGroups()
    {
        await using GroupServer groups = await GroupServer.StartAsync();
        (ByteStreamConnection client, ByteStreamMember member) = await groups.ConnectAsync("anna", "red", "blue");
        Assert.Equal((1, 2), (groups.Connections.Count, groups.Connections.GroupCount));

        client.Writer.Close();

        await Patience.UntilAsync(() => groups.Connections.Count == 0);
        Assert.Equal(0, groups.Connections.GroupCount);
        Assert.Empty((await groups.Connections.User("anna").PresenceAsync(Test)).Connections);
        await member.JoinAsync("red", Test);
        Assert.Equal(0, groups.Connections.GroupCount);
    }

    [Fact(Timeout = 60000)]
    public async Task Register_MemberIsNotDisposed_IsRemovedWhenTheConnectionCloses()
    {
        var connections = new ByteStreamConnections();
        var registered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            async (reader, writer, _) =>
            {
                await connections.Register(writer).JoinAsync("red", Test);
                registered.SetResult();
                await reader.ReadAsync(-1, Test);
            },
            new InMemoryEndPoint(Guid.NewGuid().ToString()),
            cancellationToken: Test);
        await using (ByteStreamConnection client = await ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Test))
        {
            await registered.Task.WaitAsync(Patience.Limit, Test);
            Assert.Equal(1, connections.Count);
        }

        await Patience.UntilAsync(() => connections is { Count: 0, GroupCount: 0 });
    }

    [Fact(Timeout = 60000)]
    public async Task Presence_Group_ReturnsUsersAndMetadata()
    {
        await using GroupServer groups = await GroupServer.StartAsync();
        (_, ByteStreamMember anna) = await groups.ConnectAsync("anna", "red");
        (_, ByteStreamMember bert) = await groups.ConnectAsync("bert", "red");

        PresenceSnapshot all = await groups.Connections.Group("red").PresenceAsync(Test);
        PresenceSnapshot others = await groups.Connections.Group("red").Except(anna.Id).PresenceAsync(Test);

        Assert.True(all.IsComplete);
        Assert.Equal([(anna.Id, "anna"), (bert.Id, "bert")], all.Connections.Select(one => (one.Id, one.User)));
        PresentConnection only = Assert.Single(others.Connections);
        Assert.Equal("of bert", Encoding.ASCII.GetString(only.Metadata.Span));
    }

    [Fact(Timeout = 60000)]
    public async Task RegisterExclusive_SecondConnectionOfAUser_ClosesTheFirstAfterItsPendingBytes()
    {
        var connections = new ByteStreamConnections();
        var reasons = new TaskCompletionSource<ConnectionCloseReason>(TaskCreationOptions.RunContinuationsAsynchronously);
        ByteStreamServerOptions options = new ByteStreamServerOptions().Use(next => async connection =>
        {
            await next(connection);
            reasons.TrySetResult(connection.Features.Get<IByteStreamTransportFeature>()!.CloseReason);
        });
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            async (reader, writer, stopping) =>
            {
                await using ByteStreamMember member = connections.RegisterExclusive(writer, "anna");
                writer.Write("welcome\n");
                await reader.ReadAsync(-1, stopping);
            },
            new InMemoryEndPoint(Guid.NewGuid().ToString()),
            options,
            Test);
        await using ByteStreamConnection first = await ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Test);
        Assert.Equal("welcome", await first.Reader.ReadTextLineAsync(cancellationToken: Test));

        await using ByteStreamConnection second = await ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Test);

        Assert.Equal("welcome", await second.Reader.ReadTextLineAsync(cancellationToken: Test));
        Assert.Empty(await first.Reader.ReadAsync(-1, Test));
        Assert.Equal(ConnectionCloseReason.Replaced, await reasons.Task.WaitAsync(Patience.Limit, Test));
        await connections.User("anna").SendAsync("news\n"u8.ToArray(), Test);
        Assert.Equal("news", await second.Reader.ReadTextLineAsync(cancellationToken: Test));
        Assert.Equal(1, connections.Count);
    }

    [Fact(Timeout = 60000)]
    public async Task RegisterExclusive_FromManyThreadsConcurrently_ExactlyOneStays()
    {
        var connections = new ByteStreamConnections();
        for (int round = 0; round < 2000; round++)
        {
            string user = $"anna-{round}";
            using var begin = new Barrier(3);
            await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => Task.Factory.StartNew(
                () =>
                {
                    var writer = new ByteStreamWriter(new Pipe().Writer);
                    begin.SignalAndWait(Test);
                    connections.RegisterExclusive(writer, user);
                },
                Test,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default)));

            Assert.Single((await connections.User(user).PresenceAsync(Test)).Connections);
        }
    }

    [Fact(Timeout = 60000)]
    public async Task Register_Twice_ThrowsWithTheRemedy()
    {
        var connections = new ByteStreamConnections();
        (ByteStreamConnection one, ByteStreamConnection other) = ByteStream.CreatePair();
        await using (one)
        await using (other)
        {
            ByteStreamMember member = connections.Register(one.Writer);

            Exception twice = Assert.Throws<InvalidOperationException>(() => connections.Register(one.Writer));

            Assert.Contains("is already registered. Dispose its ByteStreamMember first.", twice.Message, StringComparison.Ordinal);
            await member.DisposeAsync();
            await connections.Register(one.Writer).DisposeAsync();
        }
    }

    [Fact(Timeout = 60000)]
    public async Task Register_Repeatedly_UsesOneConnectionResource()
    {
        var connections = new ByteStreamConnections();
        int resources = 0;
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            async (reader, writer, _) =>
            {
                for (int i = 0; i < 100; i++)
                {
                    await connections.Register(writer).DisposeAsync();
                }

                ByteStreamMember last = connections.Register(writer);
                for (ConnectionResource? resource = ConnectionState.Get(writer.Transport!)!.LastResource; resource is not null; resource = resource.Earlier)
                {
                    resources++;
                }

                writer.Write($"{last.Id}\n");
                await reader.ReadAsync(-1, Test);
            },
            new InMemoryEndPoint(Guid.NewGuid().ToString()),
            cancellationToken: Test);
        await using (ByteStreamConnection client = await ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Test))
        {
            Assert.NotNull(await client.Reader.ReadTextLineAsync(cancellationToken: Test));
            Assert.Equal((1, 1), (resources, connections.Count));
        }

        await Patience.UntilAsync(() => connections.Count == 0);
    }

    [Fact]
    public void Except_DefaultTarget_Throws() => Assert.Throws<InvalidOperationException>(() => default(ByteStreamTarget).Except("x"));

    [Fact(Timeout = 60000)]
    public async Task Send_CancelledToken_SendsNothing()
    {
        var connections = new ByteStreamConnections();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await connections.All.SendAsync("x"u8.ToArray(), new CancellationToken(canceled: true)));

        Assert.Equal(0, connections.Sends);
    }

    [Theory(Timeout = 120000)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Send_ConcurrentSenders_MessagesAreNotInterleavedAndInOrderPerSender(bool overTcp)
    {
        const int Senders = 4;
        const int Messages = 2000;
        await using GroupServer groups = await GroupServer.StartAsync(overTcp, maxPending: 1 << 30);
        (ByteStreamConnection client, _) = await groups.ConnectAsync("-", "red");

        Task[] senders =
        [
            .. Enumerable.Range(0, Senders).Select(sender => Task.Run(
                async () =>
                {
                    for (int i = 0; i < Messages; i++)
                    {
                        await groups.Connections.Group("red").SendAsync(Encoding.ASCII.GetBytes($"{sender} {i} {new string('x', i % 300)}\n"), Test);
                    }
                },
                Test)),
        ];
        int[] next = new int[Senders];
        for (int i = 0; i < Senders * Messages; i++)
        {
            string[] words = (await client.Reader.ReadTextLineAsync(cancellationToken: Test))!.Split(' ');
            int sender = words[0][0] - '0';
            Assert.Equal((next[sender], new string('x', next[sender] % 300)), (int.Parse(words[1], System.Globalization.CultureInfo.InvariantCulture), words[2]));
            next[sender]++;
        }

        await Task.WhenAll(senders);
    }

    [Theory(Timeout = 120000)]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Fault", "F84")]
    public async Task Send_MemberDoesNotRead_IsAbortedAsASlowConsumerAndOthersGetEverything(bool overTcp)
    {
        const int MaxPending = 1 << 20;
        const int Messages = 3000;
        byte[] message = [.. Enumerable.Repeat((byte)'x', 9999), (byte)'\n'];
        var reasons = new TaskCompletionSource<ConnectionCloseReason>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using GroupServer groups = await GroupServer.StartAsync(
            overTcp,
            MaxPending,
            options => options.Use(next => async connection =>
            {
                await next(connection);
                if (connection.Features.Get<IByteStreamTransportFeature>() is { CloseReason: ConnectionCloseReason.SlowConsumer and var reason })
                {
                    reasons.TrySetResult(reason);
                }
            }));
        (ByteStreamConnection reading, _) = await groups.ConnectAsync("-", "red");
        (ByteStreamConnection silent, ByteStreamMember slow) = await groups.ConnectAsync("-", "red");
        int lines = 0;
        Task received = Task.Run(
            async () =>
            {
                while (lines < Messages && await reading.Reader.ReadLineAsync(Test) is { Length: 10000 })
                {
                    Interlocked.Increment(ref lines);
                }
            },
            Test);
        for (int i = 0; i < Messages; i++)
        {
            await groups.Connections.Group("red").SendAsync(message, Test);
            // Limits the backlog to half of MaxPending, so that a busy machine does not make the reader a slow consumer.
            await Patience.UntilAsync(() => i - Volatile.Read(ref lines) < MaxPending / 2 / message.Length || received.IsCompleted);
        }

        await received.WaitAsync(Patience.Limit, Test);
        Assert.Equal(Messages, lines);
        Assert.Equal(ConnectionCloseReason.SlowConsumer, await reasons.Task.WaitAsync(Patience.Limit, Test));
        await Patience.UntilAsync(() => groups.Connections.Count == 1);
        await groups.Connections.Connection(slow.Id).SendAsync(message, Test);
        Exception? end = await Record.ExceptionAsync(async () =>
        {
            while (await silent.Reader.ReadLineAsync(Test) is { Length: > 0 })
            {
            }
        });
        Assert.IsAssignableFrom<IOException>(end);
    }

    [Theory(Timeout = 60000)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Send_MemberTakesNothingForThePendingTimeout_IsASlowConsumerAlsoAfterDispose(bool disposes)
    {
        var time = new FakeTimeProvider();
        var reason = new TaskCompletionSource<ConnectionCloseReason>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using GroupServer gathering = await GroupServer.StartAsync(
            configure: options => options.Use(next => async connection =>
            {
                await next(connection);
                reason.TrySetResult(connection.Features.Get<IByteStreamTransportFeature>()!.CloseReason);
            }),
            time: time);
        (ByteStreamConnection silent, ByteStreamMember member) = await gathering.ConnectAsync("-", "red");
        // More than the write buffer takes, and less than MaxPending.
        for (int i = 0; i < 50; i++)
        {
            await gathering.Connections.Group("red").SendAsync(new byte[10_000], Test);
        }

        Task disposing = disposes ? member.DisposeAsync().AsTask() : Task.CompletedTask;
        Assert.Equal(!disposes, disposing.IsCompleted);
        // The wait begins on another thread.
        await Patience.UntilAsync(() =>
        {
            time.Advance(TimeSpan.FromSeconds(31));
            return reason.Task.IsCompleted;
        });

        Assert.Equal(ConnectionCloseReason.SlowConsumer, await reason.Task);
        await disposing.WaitAsync(Patience.Limit, Test);
        await Assert.ThrowsAnyAsync<IOException>(() => silent.Reader.ReadAsync(-1, Test).AsTask());
    }

    [Theory(Timeout = 120000)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Send_MemberReadsLater_GetsEveryMessageInOrder(bool overTcp)
    {
        const int Messages = 5000;
        await using GroupServer groups = await GroupServer.StartAsync(overTcp, maxPending: 1 << 30);
        (ByteStreamConnection late, ByteStreamMember member) = await groups.ConnectAsync("-", "red");
        for (int i = 0; i < Messages; i++)
        {
            await groups.Connections.Group("red").SendAsync(Encoding.ASCII.GetBytes($"{i} {new string('x', 2000)}\n"), Test);
        }

        // Accepted messages are delivered although the registration is removed.
        Task ending = member.DisposeAsync().AsTask();
        Assert.False(ending.IsCompleted);
        for (int i = 0; i < Messages; i++)
        {
            Assert.StartsWith($"{i} ", await late.Reader.ReadTextLineAsync(cancellationToken: Test), StringComparison.Ordinal);
        }

        await ending.WaitAsync(Patience.Limit, Test);
        Assert.Equal(0, groups.Connections.Count);
    }

    [Fact(Timeout = 60000)]
    public async Task Send_AfterWriteEof_IsNotDelivered()
    {
        await using GroupServer groups = await GroupServer.StartAsync();
        var connections = new ByteStreamConnections();
        (ByteStreamConnection one, ByteStreamConnection other) = ByteStream.CreatePair();
        await using (one)
        await using (other)
        {
            await using ByteStreamMember member = connections.Register(one.Writer);
            one.Writer.WriteEof();

            await connections.All.SendAsync("late\n"u8.ToArray(), Test);

            Assert.Equal(0, connections.Deliveries);
            Assert.Empty(await other.Reader.ReadAsync(-1, Test));
        }
    }

    [Fact(Timeout = 60000)]
    public async Task Send_PipeWriterThrows_OtherMembersGetTheMessage()
    {
        var connections = new ByteStreamConnections();
        (ByteStreamConnection one, ByteStreamConnection other) = ByteStream.CreatePair();
        await using (one)
        await using (other)
        {
            var pipe = new Pipe();
            await using ByteStreamMember broken = connections.Register(new ByteStreamWriter(pipe.Writer));
            await using ByteStreamMember member = connections.Register(one.Writer);
            await pipe.Writer.CompleteAsync();

            await connections.All.SendAsync("news\n"u8.ToArray(), Test);

            Assert.Equal("news\n", await ReadAsync(other, 1));
        }
    }

    [Fact(Timeout = 120000)]
    public async Task JoinLeaveSendDispose_FromManyTasks_LeavesNoMemberOrGroup()
    {
        await using GroupServer groups = await GroupServer.StartAsync();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(worker => Task.Run(
            async () =>
            {
                var random = new Random(worker);
                for (int round = 0; round < 20; round++)
                {
                    ByteStreamMember[] members = new ByteStreamMember[5];
                    for (int i = 0; i < members.Length; i++)
                    {
                        members[i] = groups.Connections.Register(new ByteStreamWriter(PipeWriter.Create(Stream.Null)), $"u{random.Next(3)}");
                    }

                    for (int step = 0; step < 200; step++)
                    {
                        ByteStreamMember member = members[random.Next(members.Length)];
                        string group = $"g{random.Next(4)}";
                        await (random.Next(3) switch
                        {
                            0 => member.JoinAsync(group, Test),
                            1 => member.LeaveAsync(group, Test),
                            _ => groups.Connections.Group(group).SendAsync("x"u8.ToArray(), Test),
                        });
                    }

                    foreach (ByteStreamMember member in members)
                    {
                        await member.DisposeAsync();
                    }
                }
            },
            Test)));

        Assert.Equal((0, 0), (groups.Connections.Count, groups.Connections.GroupCount));
    }

    [Fact(Timeout = 60000)]
    public async Task Send_MembersJoinConcurrently_DeliversAtMostOnce()
    {
        var connections = new ByteStreamConnections();
        var pipes = new List<Pipe>();
        var members = new List<ByteStreamMember>();
        for (int i = 0; i < 4; i++)
        {
            // Inline: the pending read continues within the send.
            pipes.Add(new Pipe(new PipeOptions(readerScheduler: PipeScheduler.Inline, useSynchronizationContext: false)));
            members.Add(connections.Register(new ByteStreamWriter(pipes[i].Writer)));
        }

        await members[0].JoinAsync("red", Test);
        await members[1].JoinAsync("red", Test);
        Task joining = JoinWithinTheSendAsync();
        await connections.Group("red").SendAsync("once\n"u8.ToArray(), Test);
        await joining;
        await connections.Group("red").SendAsync("later\n"u8.ToArray(), Test);

        Assert.Equal(["once\nlater\n", "once\nlater\n", "later\n", "later\n"], pipes.Select(Received));

        // The first member gets the message, leaves, and joins again after another member has taken its slot.
        async Task JoinWithinTheSendAsync()
        {
            ReadResult read = await pipes[1].Reader.ReadAsync(Test);
            pipes[1].Reader.AdvanceTo(read.Buffer.Start);
            await members[0].LeaveAsync("red", Test);
            await members[2].JoinAsync("red", Test);
            await members[3].JoinAsync("red", Test);
            await members[0].JoinAsync("red", Test);
        }

        static string Received(Pipe pipe) => pipe.Reader.TryRead(out ReadResult read) ? Encoding.ASCII.GetString(read.Buffer) : "";
    }

    [Fact(Timeout = 60000)]
    public async Task Send_GroupHasGrownAndShrunk_ReachesExactlyItsMembers()
    {
        var connections = new ByteStreamConnections();
        var members = new List<(ByteStreamMember Member, Pipe Pipe)>();
        for (int i = 0; i < 100; i++)
        {
            var pipe = new Pipe();
            ByteStreamMember member = connections.Register(new ByteStreamWriter(pipe.Writer));
            await member.JoinAsync("red", Test);
            members.Add((member, pipe));
        }

        for (int i = 0; i < 97; i++)
        {
            await members[i].Member.LeaveAsync("red", Test);
        }

        await members[0].Member.JoinAsync("red", Test);
        await connections.Group("red").SendAsync("x"u8.ToArray(), Test);

        Assert.Equal(4, connections.Deliveries);
        Assert.Equal(
            [0, 97, 98, 99],
            members.Index().Where(one => one.Item.Pipe.Reader.TryRead(out ReadResult read) && !read.Buffer.IsEmpty).Select(one => one.Index));
    }

    [Fact]
    public void MaxPending_BelowOneKibibyte_Throws() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new ByteStreamConnectionsOptions { MaxPending = 1023 });

    [Fact]
    public async Task AddByteStreams_MaxPendingConfigured_AppliesToTheService()
    {
        IConfiguration configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?> { ["ByteStreams:MaxPending"] = "4096" }).Build();
        var services = new ServiceCollection();
        services.AddByteStreams().LoadFromConfig(configuration.GetSection("ByteStreams"));
        await using ServiceProvider provider = services.BuildServiceProvider();

        Assert.Equal(4096, provider.GetRequiredService<ByteStreamConnections>().MaxPending);
    }

    private static async Task<string> ReadAsync(ByteStreamConnection client, int lines)
    {
        var text = new StringBuilder();
        for (int i = 0; i < lines; i++)
        {
            text.Append(await client.Reader.ReadTextLineAsync(cancellationToken: Test)).Append('\n');
        }

        return text.ToString();
    }
}
