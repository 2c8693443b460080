using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using ByteStreams.Middleware.Tests;
using ByteStreams.Middleware.Tests.Timeouts;
using ByteStreams.Transport.Epoll;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Faults.Tests;

/// <summary>A server's own life: handlers that fail or block, too many clients, other programs' clients.</summary>
public sealed class ServerRows : FaultTest
{
    [Fact, Trait("Fault", "F40")]
    public async Task F40_HandlersThatThrow_AreOneErrorAndAResetEach()
    {
        const int Count = 100;
        int number = 0;
        Served served = await BeginAsync((reader, _, stopping) =>
            Interlocked.Increment(ref number) % 2 == 0 ? throw new InvalidOperationException("at once") : LaterAsync(reader, stopping));
        int resets = 0;
        for (int i = 0; i < Count; i++)
        {
            // Who is served by one that throws at once may meet the reset anywhere, in the connect too.
            if (await Record.ExceptionAsync(async () =>
            {
                using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await socket.ConnectAsync(served.EndPoint, Soon);
                await socket.SendAsync("x\n"u8.ToArray(), Soon);
                await socket.ReceiveAsync(new byte[1], Soon);
            }) is SocketException { SocketErrorCode: SocketError.ConnectionReset or SocketError.Shutdown })
            {
                resets++;
            }
        }

        await AssertRecoveredAsync(served, ("handler_error", Count));
        Assert.Equal(Count, resets);
        Assert.Equal(Count, served.Log.GetSnapshot().Count(record => record.Level == LogLevel.Error && record.Exception is InvalidOperationException));

        static async Task LaterAsync(ByteStreamReader reader, CancellationToken stopping)
        {
            await reader.ReadLineAsync(stopping);
            throw new InvalidOperationException("later");
        }
    }

    [Fact, Trait("Fault", "F47")]
    public async Task F47_MoreThanAreAllowed_AreRefusedAndTheOthersServed()
    {
        const int Allowed = 100;
        const int Refused = 200;
        Served served = await BeginAsync(Echo, builder => builder.UseAdmission(admission => admission.MaxConnections = Allowed));
        Socket[] first = await ConnectManyAsync(served.EndPoint, Allowed);
        // Who is served has a place; who is only counted may still lose it to the next one.
        await AskEachAsync(first);
        for (int i = 0; i < Refused; i++)
        {
            await AssertRefusedAsync(served.EndPoint);
        }

        await AskEachAsync(first);
        Array.ForEach(first, socket => socket.Dispose());
        await AssertRecoveredAsync(served, ("refused_endpoint", Refused), ("closed_by_peer", Allowed));
    }

    [Fact, Trait("Fault", "F48")]
    public async Task F48_TwoHundredHandlersThatBlock_EverythingElseStaysAlive()
    {
        const int Count = 200;
        int blocked = 0;
        using var release = new ManualResetEventSlim();
        Served served = await BeginAsync(
            async (reader, writer, stopping) =>
            {
                while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
                {
                    if (line[0] == 'b')
                    {
                        Interlocked.Increment(ref blocked);
                        release.Wait(Soon);
                    }

                    writer.Write(line);
                }
            },
            builder =>
            {
                // Its loops are what a blocked handler must not stop; with the other engine 200 threads of the pool are gone.
                ((ByteStreamServerOptions)builder).Engine = ByteStreamEngine.Epoll;
                // Long enough for those that are to block: none of them may end before it has said so.
                builder.UseTimeouts(timeouts => timeouts.ReceiveIdle = TimeSpan.FromSeconds(5));
            });
        try
        {
            var sockets = new List<Socket>(Count);
            while (sockets.Count < Count)
            {
                sockets.Add(await ConnectPlainAsync(served.EndPoint));
                await sockets[^1].SendAsync("block\n"u8.ToArray(), Soon);
            }

            await Patience.UntilAsync(() => Volatile.Read(ref blocked), now => now == Count);
            var watch = Stopwatch.StartNew();
            await AskCanaryAsync();
            await using (ByteStreamConnection same = await ByteStream.OpenConnectionAsync(served.EndPoint, cancellationToken: Soon))
            {
                Assert.Equal("another\n", await AskAsync(same, "another\n"));
            }

            Figure($"two new connections echoed within {watch.ElapsedMilliseconds} ms beside {Count} blocked handlers");
            Assert.InRange(watch.Elapsed, TimeSpan.Zero, Patience.OnThisMachine(TimeSpan.FromSeconds(2)));
            // The limit of whoever waits goes on too; whoever is kept waiting by the handler is not late.
            await UntilEndedAsync(await ConnectPlainAsync(served.EndPoint));
            release.Set();
            foreach (Socket socket in sockets)
            {
                Assert.Equal(6, await socket.ReceiveAsync(new byte[6], Soon));
                socket.Dispose();
            }
        }
        finally
        {
            release.Set();
        }

        await AssertRecoveredAsync(served, ("closed_by_peer", Count + 1), ("receive_idle_timeout", 1));
    }

    [Fact, Trait("Fault", "F85")]
    public async Task F85_AsManyHandlersBlockAsThereAreThreads_NewClientsAreRefusedAndTheOthersServed()
    {
        TakeTime(TimeSpan.FromMinutes(3));
        int olderCount = Math.Max(20, Environment.ProcessorCount);
        int blocked = 0;
        using var release = new ManualResetEventSlim();
        // The first client's handler is compiled while it runs, which occupies its loop as a blocking handler does: on another listener.
        Served compiled = await ServeAsync(Carrier.Own, builder => UseEpoll(builder.UseTelemetry()), BlockAsync);
        await AskEachAsync(await ConnectManyAsync(compiled.EndPoint, 1));
        Served served = await BeginAsync(BlockAsync, UseEpoll);
        try
        {
            // Of the same endpoint, on every loop, and here before the others: they have never blocked.
            Socket[] older = await ConnectManyAsync(served.EndPoint, olderCount);
            await AskEachAsync(older);
            Socket[] blockers = await ConnectManyAsync(served.EndPoint, BlockingHandlers.Most);
            foreach (Socket blocker in blockers)
            {
                await blocker.SendAsync("block\n"u8.ToArray(), Soon);
            }

            await Patience.UntilAsync(() => Volatile.Read(ref blocked), now => now == BlockingHandlers.Most, limit: TimeSpan.FromMinutes(2));
            // A loop that a handler blocks is taken over, and its thread counted, once another event waits.
            await AskEachAsync(older);
            Assert.True(BlockingHandlers.Shared.IsFull);
            await AskEachAsync(older);
            await AskCanaryAsync();
            await AssertRefusedAsync(served.EndPoint);
            await AssertRefusedAsync(served.EndPoint);
            // The listener counts a refused connection after the reset that its client sees.
            await Patience.UntilAsync(() => served.Metrics.Endpoints.Sum(endpoint => endpoint.Snapshot().Refused), now => now == 2);

            release.Set();
            foreach (Socket blocker in blockers)
            {
                Assert.Equal(6, await blocker.ReceiveAsync(new byte[6], Soon));
                blocker.Dispose();
            }

            await Patience.UntilAsync(() => !BlockingHandlers.Shared.IsFull, limit: TimeSpan.FromMinutes(2));
            await using (ByteStreamConnection late = await ByteStream.OpenConnectionAsync(served.EndPoint, cancellationToken: Soon))
            {
                Assert.Equal("late\n", await AskAsync(late, "late\n"));
            }

            // Once a minute, however many are refused. The listener accepts after it has logged: the line of each refusal would be here.
            Assert.Single(served.Log.GetSnapshot(), record => record.Message.Contains("handlers block their threads", StringComparison.Ordinal));
            Array.ForEach(older, socket => socket.Dispose());
        }
        finally
        {
            release.Set();
        }

        await AssertRecoveredAsync(served, refusedAtAccept: 2, ("closed_by_peer", olderCount + BlockingHandlers.Most + 1));

        static void UseEpoll(IConnectionBuilder builder) => ((ByteStreamServerOptions)builder).Engine = ByteStreamEngine.Epoll;

        async Task BlockAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
        {
            while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
            {
                if (line[0] == 'b')
                {
                    Interlocked.Increment(ref blocked);
                    release.Wait(Soon);
                }

                writer.Write(line);
            }
        }
    }

    [Fact, Trait("Fault", "F10")]
    public async Task F10_RedisBenchmarkWithFiveHundredRequestsInFlight_IsAnsweredInOrder()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/redis-benchmark"), "redis-benchmark (Debian: redis-tools) drives it.");
        TakeTime(TimeSpan.FromMinutes(2));
        Served served = await BeginAsync(RespAsync);
        var start = new ProcessStartInfo("/usr/bin/redis-benchmark")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (string argument in (string[])["-p", $"{((IPEndPoint)served.EndPoint).Port}", "-t", "ping_mbulk,set", "-P", "512", "-n", "300000", "-c", "50", "-q"])
        {
            start.ArgumentList.Add(argument);
        }

        using Process benchmark = Process.Start(start)!;
        Task<string> output = benchmark.StandardOutput.ReadToEndAsync(Soon);
        Task<string> errors = benchmark.StandardError.ReadToEndAsync(Soon);
        var slowest = TimeSpan.Zero;
        while (!output.IsCompleted)
        {
            // Everybody else is served meanwhile.
            var watch = Stopwatch.StartNew();
            await AskCanaryAsync();
            slowest = watch.Elapsed > slowest ? watch.Elapsed : slowest;
            await Task.WhenAny(output, Task.Delay(20, Soon));
        }

        await benchmark.WaitForExitAsync(Soon);
        Assert.True(benchmark.ExitCode == 0, $"{await output}{await errors}");
        string[] rates = [.. (await output).Split('\r', '\n').Where(line => line.Contains("requests per second", StringComparison.Ordinal))];
        Assert.Equal(2, rates.Length);
        Assert.InRange(slowest, TimeSpan.Zero, Patience.OnThisMachine(TimeSpan.FromSeconds(1)));
        Figure($"another connection's echo took {slowest.TotalMilliseconds:0} ms at most; {string.Join("; ", rates.Select(rate => rate.Trim()))}");
        int accepted = (int)served.Metrics.Endpoints.Sum(endpoint => endpoint.Accepted);
        await Patience.UntilAsync(() => served.Summaries.Count, now => now >= accepted, limit: TimeSpan.FromMinutes(2));
        // It leaves with answers still on their way to it, which resets a connection now and then.
        int resets = served.Summaries.Count(line => line.GetStructuredStateValue("Reason") == "reset_by_peer");
        await AssertRecoveredAsync(served, ("closed_by_peer", accepted - resets), ("reset_by_peer", resets));
    }

    [Fact, Trait("Fault", "F02")]
    public async Task F02_PeerVanishes_KeepAliveOrTheIdleLimitReapsIt()
    {
        const int Each = 5;
        Assert.SkipUnless(Environment.IsPrivilegedProcess && File.Exists("/usr/sbin/ip"), "a network namespace needs root and ip (Debian: iproute2)");
        using var elsewhere = new NetworkNamespace();
        Served probed = await ServeAsync(
            Carrier.Own,
            builder =>
            {
                builder.UseTelemetry();
                var options = (ByteStreamServerOptions)builder;
                options.KeepAlive = true;
                options.KeepAliveTime = options.KeepAliveInterval = TimeSpan.FromSeconds(1);
                options.KeepAliveCount = 2;
            },
            Echo,
            endPoint: new IPEndPoint(elsewhere.Here, 0));
        Served idle = await BeginAsync(
            Echo, builder => builder.UseTimeouts(timeouts => timeouts.ReceiveIdle = TimeSpan.FromSeconds(3)), new IPEndPoint(elsewhere.Here, 0));
        Socket[] sockets = [.. Enumerable.Range(0, 2 * Each).Select(i => Own(elsewhere.Connect((i < Each ? idle : probed).EndPoint)))];
        foreach (Socket socket in sockets)
        {
            await socket.SendAsync("hello\n"u8.ToArray(), Soon);
            Assert.Equal(6, await socket.ReceiveAsync(new byte[6], Soon));
        }

        var watch = Stopwatch.StartNew();
        elsewhere.Vanish();
        // Neither FIN nor RST gets out.
        Array.ForEach(sockets, socket => socket.Dispose());
        await Patience.UntilAsync(() => probed.Summaries.Count, now => now == Each);
        Figure($"keep-alive (1 s, 2 probes) noticed after {watch.Elapsed.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture)} s");
        Assert.All(probed.Summaries, line => Assert.Contains("ended: timed_out.", line.Message, StringComparison.Ordinal));

        await AssertRecoveredAsync(idle, ("receive_idle_timeout", Each));
    }

    [Fact, Trait("Fault", "F52")]
    public async Task F52_TheWallClockJumps_NoConnectionIsClosed()
    {
        const int Count = 20;
        var clock = new FakeTimeProvider();
        var jumping = new JumpingClock(clock);
        Served served = await BeginAsync(
            Echo,
            builder => builder.UseTimeouts(timeouts =>
            {
                timeouts.FirstByte = timeouts.ReceiveIdle = timeouts.SendStall = TimeSpan.FromSeconds(30);
                timeouts.Lifetime = TimeSpan.FromMinutes(1);
                timeouts.MinReceiveRate = 1;
            }),
            time: jumping);
        Socket[] sockets = await ConnectManyAsync(served.EndPoint, Count);
        await AskEachAsync(sockets);
        foreach (int days in (int[])[400, -400, 0])
        {
            jumping.Jump = TimeSpan.FromDays(days);
            // Each limit is looked at twice by this clock.
            clock.Advance(TimeSpan.FromSeconds(1));
            clock.Advance(TimeSpan.FromSeconds(1));
            await AskEachAsync(sockets);
        }

        Array.ForEach(sockets, socket => socket.Dispose());
        await AssertRecoveredAsync(served, ("closed_by_peer", Count));
    }

    /// <summary>A line over each, and back.</summary>
    private async Task AskEachAsync(Socket[] sockets)
    {
        foreach (Socket socket in sockets)
        {
            await socket.SendAsync("x\n"u8.ToArray(), Soon);
            Assert.Equal(2, await socket.ReceiveAsync(new byte[2], Soon));
        }
    }

    /// <summary>Replies to Redis' protocol as far as redis-benchmark looks: an array of strings, of which the first is the command.</summary>
    private static async Task RespAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (await reader.ReadLineAsync(stopping) is { Length: > 0 } header)
        {
            Assert.Equal((byte)'*', header[0]);
            string command = string.Empty;
            for (int i = Number(header); i > 0; i--)
            {
                int length = Number(await reader.ReadLineAsync(stopping));
                byte[] word = await reader.ReadExactlyAsync(length + 2, stopping);
                command = command.Length == 0 ? Text(word).TrimEnd() : command;
            }

            writer.Write(command switch
            {
                "PING" => "+PONG\r\n"u8,
                "SET" => "+OK\r\n"u8,
                _ => "-ERR unknown command\r\n"u8,
            });
        }

        static int Number(byte[] line) => int.Parse(line.AsSpan(1, line.Length - 3), CultureInfo.InvariantCulture);
    }
}
