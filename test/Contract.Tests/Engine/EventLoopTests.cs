using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using ByteStreams.Contract.Tests.Servers;
using ByteStreams.Transport;
using ByteStreams.Transport.Epoll;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Contract.Tests.Engine;

/// <summary>What the Linux engine promises beyond the contract of every connection. All on one loop: nobody else can help out.</summary>
public sealed class EventLoopTests
{
    public EventLoopTests() => Assert.SkipUnless(LibC.IsSupported, "The engine needs Linux on x64 or arm64.");

    [Fact]
    public async Task Handler_FromItsFirstLine_RunsOnTheLoop()
    {
        var turns = new List<bool>();
        await using ByteStreamServer server = await StartAsync(async (reader, writer, _) =>
        {
            turns.Add(LoopDispatch.Current is not null);
            writer.Write(await reader.ReadLineAsync(TestContext.Current.CancellationToken));
            turns.Add(LoopDispatch.Current is not null);
        });
        await using ByteStreamConnection client = await Given.Connect(server);
        client.Writer.Write("1\n");
        Assert.Equal("1\n"u8.ToArray(), await client.Line());
        Assert.Equal([true, true], turns);
    }

    [Fact, Trait("Fault", "F48")]
    public async Task Handlers_TwoHundredThatBlock_DoNotStopTheOthers()
    {
        using var release = new ManualResetEventSlim();
        int blocked = 0;
        await using ByteStreamServer blocking = await StartAsync(async (reader, writer, _) =>
        {
            await reader.ReadLineAsync(TestContext.Current.CancellationToken);
            Interlocked.Increment(ref blocked);
            release.Wait(TestContext.Current.CancellationToken);
            writer.Write("done\n");
        });
        using var released = new Released(release);
        await using ByteStreamServer echo = await StartAsync(Given.Echo);
        await using ByteStreamConnection client = await Given.Connect(echo);
        var blockers = new List<ByteStreamConnection>();
        for (int i = 1; i <= 200; i++)
        {
            ByteStreamConnection blocker = await Given.Connect(blocking);
            blockers.Add(blocker);
            blocker.Writer.Write("block\n");
            client.Writer.Write($"{i}\n");
            Assert.Equal($"{i}\n", Encoding.ASCII.GetString(await client.Line()));
        }

        await Patience.UntilAsync(() => Volatile.Read(ref blocked), now => now == 200);
        await using (ByteStreamConnection late = await Given.Connect(echo))
        {
            late.Writer.Write("late\n");
            Assert.Equal("late\n"u8.ToArray(), await late.Line());
        }

        release.Set();
        foreach (ByteStreamConnection blocker in blockers)
        {
            Assert.Equal("done\n"u8.ToArray(), await blocker.Line());
            await blocker.DisposeAsync();
        }
    }

    [Fact, Trait("Fault", "F48")]
    public async Task Handler_OfAListenerWhereOneHasBlocked_RunsApartFromTheLoop()
    {
        using var release = new ManualResetEventSlim();
        var threads = new ConcurrentQueue<int>();
        await using ByteStreamServer blocking = await StartAsync(async (reader, _, _) =>
        {
            if (await reader.ReadLineAsync(TestContext.Current.CancellationToken) is [(byte)'b', ..])
            {
                release.Wait(TestContext.Current.CancellationToken);
            }

            threads.Enqueue(Environment.CurrentManagedThreadId);
        });
        using var released = new Released(release);
        await using ByteStreamServer other = await StartAsync(async (reader, _, _) =>
        {
            await reader.ReadLineAsync(TestContext.Current.CancellationToken);
            threads.Enqueue(Environment.CurrentManagedThreadId);
        });
        int loop = await ThreadOf(other);
        Assert.Equal(loop, await ThreadOf(blocking));
        await using ByteStreamConnection first = await Given.Connect(blocking);
        first.Writer.Write("block\n");

        // Once this is answered, another thread leads the loop.
        int next = await ThreadOf(other);
        Assert.NotEqual(loop, next);
        Assert.NotEqual(next, await ThreadOf(blocking));
        Assert.Equal(next, await ThreadOf(other));
        release.Set();

        async Task<int> ThreadOf(ByteStreamServer server)
        {
            await using ByteStreamConnection client = await Given.Connect(server);
            client.Writer.Write("go\n");
            int thread = 0;
            await Patience.UntilAsync(() => threads.TryDequeue(out thread));
            return thread;
        }
    }

    [Fact]
    public void Suspicion_AfterOneBlocked_EndsWith256ShortTurns()
    {
        var suspicion = new BlockingSuspicion();
        Assert.False(suspicion.IsRaised);
        suspicion.OnBlocked();
        for (int i = 0; i < 256; i++)
        {
            Assert.True(suspicion.IsRaised);
            suspicion.OnShortTurn();
        }

        Assert.False(suspicion.IsRaised);
        suspicion.OnShortTurn();
        Assert.False(suspicion.IsRaised);
    }

    [Fact]
    public void Suspicion_AfterManyBlocked_EndsWith16384ShortTurns()
    {
        var suspicion = new BlockingSuspicion();
        for (int i = 0; i < 1000; i++)
        {
            suspicion.OnBlocked();
        }

        for (int i = 0; i < 16_383; i++)
        {
            suspicion.OnShortTurn();
        }

        Assert.True(suspicion.IsRaised);
        suspicion.OnShortTurn();
        Assert.False(suspicion.IsRaised);
    }

    [Fact, Trait("Fault", "F48"), Trait("Contract", "W1")]
    public async Task Handler_ThatWritesAndBlocks_WhatItWroteLeaves()
    {
        using var release = new ManualResetEventSlim();
        await using ByteStreamServer server = await StartAsync((_, writer, _) =>
        {
            writer.Write("before\n");
            release.Wait(TestContext.Current.CancellationToken);
            return Task.CompletedTask;
        });
        using var released = new Released(release);
        await using ByteStreamConnection client = await Given.Connect(server);
        Assert.Equal("before\n"u8.ToArray(), await client.Line());
        release.Set();
    }

    [Fact, Trait("Fault", "F48"), Trait("Contract", "W1")]
    public async Task Handler_ThatWritesAndBlocksOnceMore_WhatItWroteLeaves()
    {
        using var second = new ManualResetEventSlim();
        using var release = new ManualResetEventSlim();
        await using ByteStreamServer server = await StartAsync((_, writer, _) =>
        {
            writer.Write("first\n");
            second.Wait(TestContext.Current.CancellationToken);
            writer.Write("second\n");
            release.Wait(TestContext.Current.CancellationToken);
            return Task.CompletedTask;
        });
        using var released = new Released(release);
        await using ByteStreamServer echo = await StartAsync(Given.Echo);
        await using ByteStreamConnection client = await Given.Connect(server);
        Assert.Equal("first\n"u8.ToArray(), await client.Line());
        await AnsweredAsync(echo);
        second.Set();
        Assert.Equal("second\n"u8.ToArray(), await client.Line());
    }

    [Fact, Trait("Fault", "F48"), Trait("Contract", "W1")]
    public async Task KestrelsHandler_ThatFlushesAndBlocksOnceMore_WhatItFlushedLeaves()
    {
        using var second = new ManualResetEventSlim();
        using var release = new ManualResetEventSlim();
        var options = new ByteStreamServerOptions { Engine = ByteStreamEngine.Epoll, EventLoops = 1 };
        options.Use(_ => async connection =>
        {
            ((IKestrelConventions)connection).FollowsKestrel = true;
            await connection.Transport.Output.WriteAsync("first\n"u8.ToArray(), TestContext.Current.CancellationToken);
            second.Wait(TestContext.Current.CancellationToken);
            await connection.Transport.Output.WriteAsync("second\n"u8.ToArray(), TestContext.Current.CancellationToken);
            release.Wait(TestContext.Current.CancellationToken);
        });
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            Given.Echo, new IPEndPoint(IPAddress.Loopback, 0), options, TestContext.Current.CancellationToken);
        using var released = new Released(release);
        await using ByteStreamServer echo = await StartAsync(Given.Echo);
        await using ByteStreamConnection client = await Given.Connect(server);
        Assert.Equal("first\n"u8.ToArray(), await client.Line());
        await AnsweredAsync(echo);
        second.Set();
        Assert.Equal("second\n"u8.ToArray(), await client.Line());
    }

    [Fact, Trait("Fault", "F10")]
    public async Task Requests_TenThousandInOneSegment_AreAnsweredInOrderAndOthersMeanwhile()
    {
        await using ByteStreamServer server = await StartAsync(async (reader, writer, stopping) =>
        {
            while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
            {
                writer.Write(line);
                await writer.DrainAsync(stopping);
            }
        });
        string requests = string.Concat(Enumerable.Range(0, 10_000).Select(i => $"{i}\n"));
        await using ByteStreamConnection greedy = await Given.Connect(server);
        await using ByteStreamConnection modest = await Given.Connect(server);
        greedy.Writer.Write(requests);
        modest.Writer.Write("hello\n");
        Assert.Equal("hello\n"u8.ToArray(), await modest.Line());
        byte[] answers = await greedy.Reader.ReadExactlyAsync(requests.Length, TestContext.Current.CancellationToken).Soon();
        Assert.Equal(requests, Encoding.ASCII.GetString(answers));
    }

    [Fact, Trait("Fault", "F10")]
    public async Task Receive_EndlessData_EndsItsTurnSoThatOthersHaveTheirs()
    {
        // The handler below never waits for anything but bytes, and bytes are always there.
        using var stop = new CancellationTokenSource();
        await using ByteStreamServer server = await StartAsync(async (reader, _, _) =>
        {
            while (!stop.IsCancellationRequested && !(await reader.BorrowAsync(CancellationToken.None)).IsEmpty)
            {
            }
        });
        await using ByteStreamServer echo = await StartAsync(Given.Echo);
        using Socket flood = await Given.RawClient(server);
        var flooding = Task.Run(() =>
        {
            byte[] block = new byte[1 << 18];
            while (!stop.IsCancellationRequested)
            {
                flood.Send(block);
            }
        }, TestContext.Current.CancellationToken);
        await using ByteStreamConnection client = await Given.Connect(echo);
        for (int i = 0; i < 200; i++)
        {
            client.Writer.Write("ping\n");
            Assert.Equal("ping\n"u8.ToArray(), await client.Line());
        }

        await stop.CancelAsync();
        await flooding.Soon();
    }

    [Fact]
    public async Task Start_ChannelThatWasClosedBefore_CompletesAtOnce()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        var options = new ByteStreamClientOptions { Engine = ByteStreamEngine.Epoll, EventLoops = 1 };
        SocketByteChannel channel = await TransportEngine.For(options).ConnectAsync(listener.LocalEndPoint!, options, null, TestContext.Current.CancellationToken).Soon();
        channel.Close();
        await channel.StartAsync().Soon();
        Assert.True(channel.TryReceive(new byte[1], out _, out Exception? loss));
        Assert.IsAssignableFrom<Exception>(loss);
    }

    [Fact]
    public async Task CloseClients_BeforeTheirHandlersBegin_EndsThemAll()
    {
        // The close waits for the peer's end, the start for the loop: at the same time, on the same channel.
        await using ByteStreamServer server = await StartAsync(Given.Echo);
        for (int i = 0; i < 100; i++)
        {
            using Socket client = await Given.RawClient(server);
            SpinWait.SpinUntil(() => server.ClientCount > 0);
            server.CloseClients();
            Assert.Equal(0, await client.ReceiveAsync(new byte[1], TestContext.Current.CancellationToken).AsTask().Soon());
            client.Dispose();
            await Patience.UntilAsync(() => server.ClientCount, now => now == 0);
        }
    }

    [Fact]
    public async Task Descriptors_ReusedAtOnceByOthers_NeverCarryForeignBytes()
    {
        await using ByteStreamServer server = await StartAsync(async (reader, writer, stopping) =>
        {
            byte[] line = await reader.ReadLineAsync(stopping);
            writer.Write(line);
            if (line is [(byte)'a', ..])
            {
                // The descriptor is free, and taken by the next client, while this handler is still at it.
                writer.Abort();
                writer.Write("late\n");
            }

            await writer.DrainAsync(stopping);
        });
        await Parallel.ForAsync(0, 1000, TestContext.Current.CancellationToken, async (i, token) =>
        {
            await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(
                server.EndPoints[0], new() { Engine = ByteStreamEngine.Epoll, EventLoops = 1, LingerTimeout = TimeSpan.Zero }, token);
            string line = i % 2 == 0 ? $"a{i}\n" : $"b{i}\n";
            client.Writer.Write(line);
            try
            {
                byte[] answer = await client.Reader.ReadAsync(-1, token);
                Assert.Equal(i % 2 == 0 ? "" : line, Encoding.ASCII.GetString(answer));
            }
            catch (IOException) when (i % 2 == 0)
            {
                // Its reset.
            }
        });
    }

    [Fact]
    public async Task BlockingWork_BeyondTheMostThreads_WaitsForOneToBeFree()
    {
        using var release = new ManualResetEventSlim();
        int running = 0;
        int done = 0;
        var handlers = new BlockingHandlers(most: 10);
        for (int i = 0; i < 11; i++)
        {
            handlers.Run(_ =>
            {
                Interlocked.Increment(ref running);
                release.Wait(CancellationToken.None);
                Interlocked.Increment(ref done);
            });
        }

        await Patience.UntilAsync(() => Volatile.Read(ref running), now => now >= 10);
        Assert.Equal(10, Volatile.Read(ref running));
        Assert.True(handlers.IsFull);
        release.Set();
        await Patience.UntilAsync(() => Volatile.Read(ref done), now => now == 11);
        await Patience.UntilAsync(() => handlers.Count, now => now == 0);
    }

    [Fact]
    public async Task BlockingWork_LoopsTakenOver_CountBeyondTheMostThreads()
    {
        using var release = new ManualResetEventSlim();
        int running = 0;
        var handlers = new BlockingHandlers(most: 2);
        handlers.Run(_ =>
        {
            Interlocked.Increment(ref running);
            release.Wait(CancellationToken.None);
        });
        handlers.Enter();
        handlers.Enter();
        Assert.Equal((3, true, true), (handlers.Count, handlers.IsFull, handlers.MayRiskLoop));
        handlers.Enter();
        Assert.False(handlers.MayRiskLoop);
        handlers.Run(_ => Interlocked.Increment(ref running));
        await Patience.UntilAsync(() => Volatile.Read(ref running), now => now == 1);

        // Beyond the limit a thread that is free ends; within it, it does what waits.
        var dispatch = new LoopDispatch();
        handlers.Leave(dispatch);
        handlers.Leave(dispatch);
        Assert.Equal((2, 1), (handlers.Count, Volatile.Read(ref running)));
        handlers.Leave(dispatch);
        Assert.Equal((1, 2), (handlers.Count, Volatile.Read(ref running)));
        release.Set();
        await Patience.UntilAsync(() => handlers.Count, now => now == 0);
    }

    /// <summary>Once this is answered, another thread leads the loop that a handler blocks.</summary>
    private static async Task AnsweredAsync(ByteStreamServer echo)
    {
        await using ByteStreamConnection client = await Given.Connect(echo);
        client.Writer.Write("ping\n");
        Assert.Equal("ping\n"u8.ToArray(), await client.Line());
    }

    private static Task<ByteStreamServer> StartAsync(ByteStreamDelegate handler) => ByteStream.StartServerAsync(
        handler, new IPEndPoint(IPAddress.Loopback, 0), new() { Engine = ByteStreamEngine.Epoll, EventLoops = 1 }, TestContext.Current.CancellationToken);

    /// <summary>Declared behind a server, it lets the handlers go that the server's end would wait for, however the test ends.</summary>
    private sealed class Released(ManualResetEventSlim release) : IDisposable
    {
        public void Dispose() => release.Set();
    }
}
