using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Polly;
using Polly.CircuitBreaker;

namespace ByteStreams.Extensions.Tests;

/// <summary>Which connections are used again, how many there are, and when they are opened and closed.</summary>
public sealed class PoolTests : PoolTest
{
    [Fact]
    public async Task Execute_OneAfterTheOther_UsesOneConnection()
    {
        ByteStreamServer server = await StartAsync();
        ServiceProvider provider = Provide(Url(server));

        for (byte i = 0; i < 10; i++)
        {
            Assert.Equal([i], await provider.GetRequiredService<EchoClient>().AskAsync([i], Test));
        }

        Assert.Single(Accepted);
        Assert.Equal(1, provider.GetRequiredKeyedService<ByteStreamPool>("echo").IdleCount);
    }

    [Fact]
    public async Task Execute_ManyAtOnce_OpensAtMostMaxConnections()
    {
        ByteStreamServer server = await StartAsync();
        ByteStreamPool pool = Pool(Url(server), client => client.Configure(options => options.MaxConnections = 3));

        byte[][] answers = await Task.WhenAll(Enumerable.Range(0, 200).Select(i => AskAsync(pool, [(byte)i])));

        Assert.Equal(Enumerable.Range(0, 200).Select(i => (byte)i), answers.Select(answer => answer[0]));
        Assert.InRange(Accepted.Count, 1, 3);
    }

    [Fact]
    public async Task Rent_OneSlotAndManyCallers_NeverTwoConnectsAtOnce()
    {
        ByteStreamServer server = await StartAsync();
        int connecting = 0, most = 0, failing = 6;
        ByteStreamPool pool = Pool(
            Url(server),
            client => client
                .Configure(options =>
                {
                    options.MaxConnections = 1;
                    options.RetryDelay = TimeSpan.FromMilliseconds(1);
                    options.MaxRetryDelay = TimeSpan.FromMilliseconds(2);
                })
                .ConfigureConnection(connection => connection.Use(next => async context =>
                {
                    most = Math.Max(most, Interlocked.Increment(ref connecting));
                    await Task.Yield();
                    Interlocked.Decrement(ref connecting);
                    if (Interlocked.Decrement(ref failing) >= 0)
                    {
                        throw new IOException("The service is not ready.");
                    }

                    await next(context);
                })),
            TimeProvider.System);

        // Callers that fail make way for others; each exchange that fails leaves the slot empty.
        await Task.WhenAll(Enumerable.Range(0, 50).Select(i => Record.ExceptionAsync(() => pool.ExecuteAsync(
            i, static (_, i, _) => i % 3 == 0 ? throw new FormatException() : Task.FromResult(i), Test)).AsTask()));

        Assert.Equal(1, most);
    }

    [Fact]
    public async Task Execute_ExchangeFails_ClosesTheConnectionAndIsNotRepeated()
    {
        ByteStreamServer server = await StartAsync();
        ByteStreamPool pool = Pool(Url(server));
        int calls = 0;

        await Assert.ThrowsAsync<IOException>(() => pool.ExecuteAsync(0, Task<int> (_, _, _) =>
        {
            calls++;
            throw new IOException("after the request");
        }, Test));

        Assert.Equal(1, calls);
        Assert.Equal(0, pool.IdleCount);
        Assert.Equal([1], await AskAsync(pool, [1]));
        Assert.Equal(2, Accepted.Count);
    }

    [Fact]
    public async Task Return_BytesAreLeft_ClosesTheConnection()
    {
        ByteStreamServer server = await StartAsync();
        ByteStreamPool pool = Pool(Url(server));
        ByteStreamLease lease = await pool.RentAsync(Test);
        lease.Writer.WriteFrame(Frames, [1]);
        lease.Writer.WriteFrame(Frames, [2]);
        await lease.Writer.DrainAsync(Test);
        await lease.Reader.ReadFrameAsync(Frames, Test);
        Assert.True(await lease.Reader.WaitToReadAsync(Test));

        lease.Complete();
        await lease.DisposeAsync();
        await lease.DisposeAsync();

        Assert.Equal(0, pool.IdleCount);
        Assert.Equal([3], await AskAsync(pool, [3]));
    }

    [Theory]
    [InlineData("closes")]
    [InlineData("resets")]
    [InlineData("sends")]
    public async Task Idle_ServiceEndsOrSends_ConnectionIsClosedBeforeTheNextExchange(string what)
    {
        ByteStreamServer server = await StartAsync();
        ByteStreamPool pool = Pool(Url(server));
        await AskAsync(pool, [1]);
        ByteStreamWriter accepted = Assert.Single(Accepted);

        switch (what)
        {
            case "closes":
                accepted.Close();
                break;
            case "resets":
                accepted.Abort();
                break;
            default:
                accepted.WriteFrame(Frames, [9]);
                await accepted.DrainAsync(Test);
                break;
        }

        await Patience.UntilAsync(() => Reasons.Any());
        Assert.Equal(0, pool.IdleCount);
        Assert.Equal(["Client echo: connection closed: unusable."], Reasons);
        Assert.Equal([2], await AskAsync(pool, [2]));
        Assert.Equal(2, Accepted.Count);
    }

    [Fact]
    public async Task Idle_MaxIdleTimePasses_ConnectionIsClosed()
    {
        ByteStreamServer server = await StartAsync();
        ByteStreamPool pool = Pool(Url(server), client => client.Configure(options => options.MaxIdleTime = TimeSpan.FromSeconds(10)));
        await AskAsync(pool, [1]);

        Time.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal(1, pool.IdleCount);
        await AskAsync(pool, [1]);
        Time.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal(1, pool.IdleCount);
        Time.Advance(TimeSpan.FromSeconds(1));

        await Patience.UntilAsync(() => pool.IdleCount == 0 && Reasons.Any());
        Assert.Equal(["Client echo: connection closed: idle."], Reasons);
        Assert.Single(Accepted);
    }

    [Fact]
    public async Task Return_MaxLifetimeHasPassed_ConnectionIsReplaced()
    {
        ByteStreamServer server = await StartAsync();
        ByteStreamPool pool = Pool(Url(server), client => client.Configure(options => options.MaxLifetime = TimeSpan.FromSeconds(10)));
        await AskAsync(pool, [1]);
        Time.Advance(TimeSpan.FromSeconds(10));

        await AskAsync(pool, [2]);

        Assert.Equal(2, Accepted.Count);
        ByteStreamLease lease = await pool.RentAsync(Test);
        Time.Advance(TimeSpan.FromSeconds(10));
        lease.Complete();
        await lease.DisposeAsync();
        Assert.Equal(0, pool.IdleCount);
        Assert.Equal(2, Accepted.Count);
    }

    [Fact]
    public async Task Rent_IdleForLong_HealthCheckDecides()
    {
        ByteStreamServer server = await StartAsync();
        bool isHealthy = true;
        int checks = 0;
        ByteStreamPool pool = Pool(Url(server), client => client.Configure(options =>
        {
            options.HealthCheckAfter = TimeSpan.FromSeconds(5);
            options.HealthCheck = async (connection, token) =>
            {
                checks++;
                connection.Writer.WriteFrame(Frames, "ping"u8);
                return await connection.Reader.ReadFrameAsync(Frames, token) is not null && isHealthy;
            };
        }));
        await AskAsync(pool, [1]);
        await AskAsync(pool, [1]);
        Assert.Equal(0, checks);

        Time.Advance(TimeSpan.FromSeconds(5));
        await AskAsync(pool, [2]);
        Assert.Equal((1, 1), (checks, Accepted.Count));
        isHealthy = false;
        Time.Advance(TimeSpan.FromSeconds(5));
        await AskAsync(pool, [3]);

        Assert.Equal((2, 2), (checks, Accepted.Count));
    }

    [Fact]
    public async Task Rent_AllInUse_TimesOutWithTheRemedyAndTheSlotIsKept()
    {
        ByteStreamServer server = await StartAsync();
        ByteStreamPool pool = Pool(Url(server), client => client.Configure(options => options.MaxConnections = 1));
        ByteStreamLease lease = await pool.RentAsync(Test);
        Task<ByteStreamLease> second = pool.RentAsync(Test).AsTask();

        Time.Advance(TimeSpan.FromSeconds(30));

        TimeoutException error = await Assert.ThrowsAsync<TimeoutException>(() => second.WaitAsync(Patience.Limit, Test));
        Assert.Equal(
            "Client 'echo': no connection within 30 s (AcquireTimeout): all 1 connections (MaxConnections) are in use. Raise MaxConnections, or rent for a shorter time.",
            error.Message);
        lease.Complete();
        await lease.DisposeAsync();
        Assert.Equal([1], await AskAsync(pool, [1]));
        Assert.Single(Accepted);
    }

    [Fact]
    public async Task Rent_ServiceRefuses_RetriesWithJitterUpToTheMaximumDelayAndThenFails()
    {
        var time = new RecordingTime();
        ByteStreamPool pool = Pool(
            $"tcp://127.0.0.1:{FreePort()}",
            client => client.Configure(options =>
            {
                options.ConnectRetries = 8;
                options.RetryDelay = TimeSpan.FromSeconds(1);
                options.MaxRetryDelay = TimeSpan.FromSeconds(2);
                options.ConnectTimeout = TimeSpan.FromSeconds(77);
                options.AcquireTimeout = Timeout.InfiniteTimeSpan;
            }),
            time);
        Task<ByteStreamLease> rent = pool.RentAsync(Test).AsTask();

        await Patience.UntilAsync(() =>
        {
            time.Advance(TimeSpan.FromMilliseconds(100));
            return rent.IsCompleted;
        });

        SocketException error = await Assert.ThrowsAsync<SocketException>(() => rent);
        Assert.Equal(SocketError.ConnectionRefused, error.SocketErrorCode);
        Assert.Equal(9, Failures);
        TimeSpan[] delays = [.. time.Timers.Where(due => due > TimeSpan.Zero && due != TimeSpan.FromSeconds(77))];
        Assert.Equal(8, delays.Length);
        Assert.All(delays, delay => Assert.InRange(delay, TimeSpan.FromTicks(1), TimeSpan.FromSeconds(2)));
        // Without jitter it would be 1 s and then 2 s.
        Assert.Contains(delays, delay => delay.Ticks % TimeSpan.TicksPerSecond != 0);
    }

    [Fact]
    public async Task UseResilience_CircuitBreaker_ReplacesTheRetries()
    {
        ByteStreamPool pool = Pool($"tcp://127.0.0.1:{FreePort()}", client => client.UseResilience((pipeline, _) => pipeline.AddCircuitBreaker(
            new CircuitBreakerStrategyOptions { MinimumThroughput = 2, FailureRatio = 0.5, BreakDuration = TimeSpan.FromMinutes(1) })));

        await Assert.ThrowsAsync<SocketException>(() => pool.RentAsync(Test).AsTask());
        await Assert.ThrowsAsync<SocketException>(() => pool.RentAsync(Test).AsTask());
        await Assert.ThrowsAsync<BrokenCircuitException>(() => pool.RentAsync(Test).AsTask());

        Assert.Equal(2, Failures);
    }

    [Fact]
    public async Task Rent_Cancelled_EndsTheConnectAndFreesTheSlot()
    {
        ByteStreamServer server = await StartAsync();
        using var cancel = new CancellationTokenSource();
        bool blocks = true;
        ByteStreamPool pool = Pool(Url(server), client => client.Configure(options => options.MaxConnections = 1).ConfigureConnection(
            connection => connection.Use(next => async context =>
            {
                if (blocks)
                {
                    await cancel.CancelAsync();
                    await context.Transport.Input.ReadAsync(Test);
                }

                await next(context);
            })));

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => pool.RentAsync(cancel.Token).AsTask());

        blocks = false;
        Assert.Equal([1], await AskAsync(pool, [1]));
    }

    [Fact]
    public async Task Dispose_IdleAndRentedConnections_AreClosed()
    {
        ByteStreamServer server = await StartAsync();
        ByteStreamPool pool = Pool(Url(server));
        ByteStreamLease first = await pool.RentAsync(Test);
        await AskAsync(pool, [1]);

        await pool.DisposeAsync();
        first.Complete();
        await first.DisposeAsync();

        Assert.Equal(0, pool.IdleCount);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => pool.RentAsync(Test).AsTask());
        server.Close();
        await server.WaitClosedAsync(Test).WaitAsync(Patience.Limit, Test);
    }

    [Fact]
    public async Task ConfigureConnection_Middleware_SeesTheBytesOfTheClient()
    {
        ByteStreamServer server = await StartAsync();
        ByteStreamPool pool = Pool(Url(server), client => client.ConfigureConnection(connection => connection.UseByteLogging()));

        await AskAsync(pool, [7]);

        Assert.Contains(Log.GetSnapshot(), record => record.Category == "ByteStreams.Bytes");
    }

    private IEnumerable<string> Reasons => Log.GetSnapshot().Where(record => record.Id.Id == 1202).Select(record => record.Message);

    private int Failures => Log.GetSnapshot().Count(record => record.Id.Id == 1201);

    private static int FreePort()
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    private sealed class RecordingTime : FakeTimeProvider
    {
        public ConcurrentQueue<TimeSpan> Timers { get; } = new();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Timers.Enqueue(dueTime);
            return base.CreateTimer(callback, state, dueTime, period);
        }
    }
}
