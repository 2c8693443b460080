using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>Serving, closing, waiting, stopping.</summary>
public sealed class LifeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Unix)]
    [InlineData(Medium.Memory)]
    [Trait("Contract", "S3")]
    public async Task Close_WithClient_StopsListeningAndLeavesTheClientAlone(Medium medium)
    {
        await using var server = await Start(medium, Given.Echo);
        EndPoint endPoint = Assert.Single(server.EndPoints);
        Assert.True(server.IsServing);
        await using ByteStreamConnection client = await Given.Connect(server);
        await Echoes(client);

        server.Close();
        server.Close();

        Assert.Empty(server.EndPoints);
        Assert.False(server.IsServing);
        await Assert.ThrowsAsync<SocketException>(() => ByteStream.OpenConnectionAsync(endPoint, null, TestContext.Current.CancellationToken).Soon());
        await Echoes(client);
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Memory)]
    [Trait("Contract", "S4")]
    public async Task WaitClosed_ClosedFirst_WaitsForTheLastClient(Medium medium)
    {
        await using var server = await Start(medium, Given.Echo);
        ByteStreamConnection client = await Given.Connect(server);
        await Echoes(client);
        server.Close();
        Task closed = server.WaitClosedAsync(TestContext.Current.CancellationToken);
        await Echoes(client);
        Assert.False(closed.IsCompleted);
        await client.DisposeAsync();
        await closed.Soon();
        await server.WaitClosedAsync(TestContext.Current.CancellationToken).Soon();
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Memory)]
    [Trait("Contract", "S4")]
    public async Task WaitClosed_ClientsGoneFirst_WaitsForTheClose(Medium medium)
    {
        await using var server = await Start(medium, Given.Echo);
        ByteStreamConnection client = await Given.Connect(server);
        await Echoes(client);
        await client.DisposeAsync();
        await Patience.UntilAsync(() => server.ClientCount, now => now == 0);
        Task closed = server.WaitClosedAsync(TestContext.Current.CancellationToken);
        await using (ByteStreamConnection another = await Given.Connect(server))
        {
            await Echoes(another);
        }

        Assert.False(closed.IsCompleted);
        server.Close();
        await closed.Soon();
    }

    [Fact]
    [Trait("Contract", "S4")]
    public async Task WaitClosed_Cancelled_EndsTheWaitOnly()
    {
        await using var server = await Start(Medium.Tcp, Given.Echo);
        using var cancel = new CancellationTokenSource();
        Task waiting = server.WaitClosedAsync(cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.Soon());
        Assert.True(server.IsServing);
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Unix)]
    [InlineData(Medium.Memory)]
    [Trait("Contract", "S5")]
    public async Task CloseClients_WhileTheyWait_DeliversWhatWasWrittenAndTheEnd(Medium medium)
    {
        await using var server = await Start(medium, async (reader, writer, _) =>
        {
            writer.Write("hello\n");
            Assert.Empty(await reader.ReadAsync(-1, CancellationToken.None));
        });
        await using ByteStreamConnection first = await Given.Connect(server);
        await using ByteStreamConnection second = await Given.Connect(server);
        Assert.Equal("hello\n"u8.ToArray(), await first.Line());
        Assert.Equal("hello\n"u8.ToArray(), await second.Line());
        server.CloseClients();
        Assert.Empty(await first.Rest());
        Assert.Empty(await second.Rest());
        Assert.True(server.IsServing);
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Unix)]
    [InlineData(Medium.Memory)]
    [Trait("Contract", "S6")]
    public async Task Stop_ReadmesLoopWithAnIdleClient_EndsWithoutTheTimeout(Medium medium)
    {
        bool cleaned = false;
        await using var server = await ByteStream.StartServerAsync(
            async (reader, writer) =>
            {
                try
                {
                    await foreach (byte[] line in reader)
                    {
                        writer.Write(line);
                        await writer.DrainAsync();
                    }
                }
                finally
                {
                    cleaned = true;
                }
            },
            Given.Address(medium, _folder),
            cancellationToken: TestContext.Current.CancellationToken);
        await using ByteStreamConnection client = await Given.Connect(server);
        client.Writer.Write("one\n");
        Assert.Equal("one\n"u8.ToArray(), await client.Line());

        // Of a handler that has to be aborted at the deadline the report has one.
        DrainReport report = await server.StopAsync(TimeSpan.FromSeconds(30), CancellationToken.None).Soon();
        Assert.True(report.IsClean);
        Assert.True(cleaned);
        Assert.Empty(await client.Rest());
    }

    [Fact]
    [Trait("Contract", "S6")]
    public async Task Stop_CallbackOfTwoArgumentsWithBufferedRequests_AnswersThemFirst()
    {
        using var go = new SemaphoreSlim(0);
        await using var server = await ByteStream.StartServerAsync(
            async (reader, writer) =>
            {
                await foreach (byte[] line in reader)
                {
                    writer.Write(line);
                    await go.WaitAsync(TestContext.Current.CancellationToken);
                }
            },
            Given.Address(Medium.Tcp, _folder),
            cancellationToken: TestContext.Current.CancellationToken);
        await using ByteStreamConnection client = await Given.Connect(server);
        client.Writer.Write("one\ntwo\nthree\n");
        Assert.Equal("one\n"u8.ToArray(), await client.Line());
        Task<DrainReport> stopping = server.StopAsync(TimeSpan.FromSeconds(30), CancellationToken.None);
        go.Release(3);
        Assert.Equal("two\nthree\n"u8.ToArray(), await client.Rest());
        Assert.True((await stopping.Soon()).IsClean);
    }

    [Fact]
    public async Task AbortClients_Several_EachHasAnExceptionOfItsOwn()
    {
        // One for all would grow by the stack of each that throws it.
        var begun = new SemaphoreSlim(0);
        var causes = new ConcurrentBag<Exception>();
        await using var server = await Start(Medium.Tcp, async (_, writer, _) =>
        {
            ValueTask<ReadResult> read = writer.Transport!.Transport.Input.ReadAsync(CancellationToken.None);
            begun.Release();
            causes.Add(await Assert.ThrowsAsync<ConnectionAbortedException>(async () => await read));
        });
        await using ByteStreamConnection first = await Given.Connect(server);
        await using ByteStreamConnection second = await Given.Connect(server);
        await begun.WaitAsync(TestContext.Current.CancellationToken).Soon();
        await begun.WaitAsync(TestContext.Current.CancellationToken).Soon();

        server.AbortClients();

        await Patience.UntilAsync(() => causes.Count, now => now == 2);
        Assert.Equal(2, causes.Distinct().Count());
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Memory)]
    [Trait("Contract", "S5")]
    public async Task AbortClients_WhileTheyWait_ResetsEach(Medium medium)
    {
        await using var server = await Start(medium, Given.Echo);
        await using ByteStreamConnection first = await Given.Connect(server);
        await using ByteStreamConnection second = await Given.Connect(server);
        await Echoes(first);
        await Echoes(second);
        server.AbortClients();
        await Assert.ThrowsAsync<ConnectionResetException>(() => first.Rest());
        await Assert.ThrowsAsync<ConnectionResetException>(() => second.Rest());
        await Patience.UntilAsync(() => server.ClientCount, now => now == 0);
        Assert.True(server.IsServing);
    }

    [Fact]
    [Trait("Contract", "S6")]
    public async Task ServeForever_Cancelled_ClosesWaitsForTheClientAndIsCancelled()
    {
        await using var server = await Start(Medium.Tcp, (reader, writer, _) => Given.Echo(reader, writer, CancellationToken.None));
        ByteStreamConnection client = await Given.Connect(server);
        await Echoes(client);
        using var cancel = new CancellationTokenSource();
        Task forever = server.ServeForeverAsync(cancel.Token);
        await cancel.CancelAsync();
        await Patience.UntilAsync(() => !server.IsServing);
        await Echoes(client);
        Assert.False(forever.IsCompleted);
        await client.DisposeAsync();
        OperationCanceledException cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => forever.Soon());
        Assert.Equal(cancel.Token, cancelled.CancellationToken);
        Assert.True(forever.IsCanceled);
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Unix)]
    [InlineData(Medium.Memory)]
    [Trait("Contract", "S6")]
    public async Task ServeForever_CancelledWhileAHandlerWaitsForStopping_EndsIt(Medium medium)
    {
        await using var server = await Start(medium, SayGoodbye);
        await using ByteStreamConnection client = await Given.Connect(server);
        await Patience.UntilAsync(() => server.ClientCount, now => now == 1);
        using var cancel = new CancellationTokenSource();
        Task forever = server.ServeForeverAsync(cancel.Token);

        await cancel.CancelAsync();

        Assert.Equal("bye\n"u8.ToArray(), await client.Rest());
        await client.DisposeAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => forever.Soon());
        Assert.True(forever.IsCanceled);
    }

    [Fact]
    [Trait("Contract", "S6")]
    public async Task ServeForever_CancelledAfterTheServerWasClosed_StopsAsWell()
    {
        await using var server = await Start(Medium.Tcp, SayGoodbye);
        await using ByteStreamConnection client = await Given.Connect(server);
        await Patience.UntilAsync(() => server.ClientCount, now => now == 1);
        using var cancel = new CancellationTokenSource();
        Task forever = server.ServeForeverAsync(cancel.Token);
        server.Close();
        Assert.False(forever.IsCompleted);

        await cancel.CancelAsync();

        Assert.Equal("bye\n"u8.ToArray(), await client.Rest());
        await client.DisposeAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => forever.Soon());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Contract", "S6")]
    public async Task ServeForeverOrDispose_HandlerIgnoresStopping_AbortsAfterTheShutdownTimeout(bool forever)
    {
        var time = new FakeTimeProvider();
        await using var server = await Start(
            Medium.Tcp, Given.UntilEnd, new() { TimeProvider = time, ShutdownTimeout = TimeSpan.FromSeconds(5) });
        await using ByteStreamConnection client = await Given.Connect(server);
        await Patience.UntilAsync(() => server.ClientCount, now => now == 1);
        using var cancel = new CancellationTokenSource();
        Task stopped = forever ? server.ServeForeverAsync(cancel.Token) : server.DisposeAsync().AsTask();
        await cancel.CancelAsync();
        await Patience.UntilAsync(() => !server.IsServing);

        time.Advance(TimeSpan.FromSeconds(4.9));
        await Task.Yield();
        Assert.False(stopped.IsCompleted);
        await Patience.UntilAsync(() =>
        {
            time.Advance(TimeSpan.FromSeconds(0.1));
            return stopped.IsCompleted;
        });

        await Assert.ThrowsAsync<ConnectionResetException>(() => client.Rest());
        Assert.Equal(forever, stopped.IsCanceled);
    }

    [Fact]
    [Trait("Contract", "S6")]
    public async Task ServeForever_ClosedByAnotherTask_Returns()
    {
        await using var server = await Start(Medium.Tcp, Given.Echo);
        Task forever = server.ServeForeverAsync(TestContext.Current.CancellationToken);
        server.Close();
        await forever.Soon();
    }

    [Fact]
    [Trait("Contract", "S6")]
    public async Task ServeForever_Twice_Throws()
    {
        await using var server = await Start(Medium.Tcp, Given.Echo);
        Task forever = server.ServeForeverAsync(TestContext.Current.CancellationToken);
        await Assert.ThrowsAsync<InvalidOperationException>(() => server.ServeForeverAsync(TestContext.Current.CancellationToken).Soon());
        Assert.True(server.IsServing);
        server.Close();
        await forever.Soon();
    }

    [Fact]
    [Trait("Contract", "S6")]
    public async Task ServeForever_OnClosedServer_Throws()
    {
        await using var server = await Start(Medium.Tcp, Given.Echo);
        server.Close();
        await Assert.ThrowsAsync<InvalidOperationException>(() => server.ServeForeverAsync(TestContext.Current.CancellationToken).Soon());
        await Assert.ThrowsAsync<InvalidOperationException>(() => server.StartServingAsync(TestContext.Current.CancellationToken).Soon());
    }

    [Fact]
    [Trait("Contract", "S6")]
    public async Task ServeForever_NotStartedYet_StartsServing()
    {
        await using var server = await Start(Medium.Tcp, Given.Echo, new() { StartServing = false });
        Task forever = server.ServeForeverAsync(TestContext.Current.CancellationToken);
        await Patience.UntilAsync(() => server.IsServing);
        await using (ByteStreamConnection client = await Given.Connect(server))
        {
            await Echoes(client);
        }

        server.Close();
        await forever.Soon();
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Unix)]
    [InlineData(Medium.Memory)]
    [Trait("Contract", "S7")]
    public async Task StartServing_False_RefusesUntilStarted(Medium medium)
    {
        await using var server = await Start(medium, Given.Echo, new() { StartServing = false });
        Assert.Single(server.EndPoints);
        Assert.False(server.IsServing);
        SocketException refused = await Assert.ThrowsAsync<SocketException>(() => Given.Connect(server));
        Assert.Equal(SocketError.ConnectionRefused, refused.SocketErrorCode);

        await server.StartServingAsync(TestContext.Current.CancellationToken).Soon();
        await server.StartServingAsync(TestContext.Current.CancellationToken).Soon();
        Assert.True(server.IsServing);
        await using ByteStreamConnection client = await Given.Connect(server);
        await Echoes(client);
    }

    [Fact]
    [Trait("Contract", "S7")]
    public async Task StartServing_PortTakenMeanwhile_NamesTheAddressAndClosesTheOthers()
    {
        await using var server = await ByteStream.StartServerAsync(
            Given.Echo, ["127.0.0.1", "127.0.0.2"], 0, new() { StartServing = false }, TestContext.Current.CancellationToken);
        EndPoint first = server.EndPoints[0];
        var second = (IPEndPoint)server.EndPoints[1];
        // Bound and not listening yet: the kernel gives the port to whoever listens first.
        await using var thief = await ByteStream.StartServerAsync(Given.Echo, second, null, TestContext.Current.CancellationToken);
        AddressInUseException taken = await Assert.ThrowsAsync<AddressInUseException>(
            () => server.StartServingAsync(TestContext.Current.CancellationToken).Soon());
        Assert.Contains(second.ToString(), taken.Message, StringComparison.Ordinal);
        Assert.False(server.IsServing);
        Assert.Empty(server.EndPoints);
        await Assert.ThrowsAsync<SocketException>(() => ByteStream.OpenConnectionAsync(first, null, TestContext.Current.CancellationToken).Soon());
    }

    [Fact]
    [Trait("Contract", "S7")]
    public async Task Dispose_NeverStarted_FreesTheAddress()
    {
        EndPoint endPoint;
        await using (var server = await Start(Medium.Tcp, Given.Echo, new() { StartServing = false }))
        {
            endPoint = server.EndPoints[0];
        }

        await using var again = await ByteStream.StartServerAsync(Given.Echo, endPoint, null, TestContext.Current.CancellationToken);
        Assert.Equal([endPoint], again.EndPoints);
    }

    [Fact]
    public async Task Close_WhileClientsArrive_LosesCountOfNone()
    {
        // Over and over, so that the close meets an accept that is just done: nobody is left waiting, and no handler outlives the wait.
        for (int i = 0; i < 60; i++)
        {
            int inside = 0;
            await using var server = await Start(Medium.Tcp, async (reader, _, _) =>
            {
                Interlocked.Increment(ref inside);
                try
                {
                    await reader.ReadAsync(-1, CancellationToken.None);
                }
                finally
                {
                    Interlocked.Decrement(ref inside);
                }
            });
            EndPoint endPoint = server.EndPoints[0];
            Task[] clients = [.. Enumerable.Range(0, 4).Select(_ => Task.Run(() => Knock(endPoint)))];
            server.Close();
            await server.WaitClosedAsync(TestContext.Current.CancellationToken).Soon();
            Assert.Equal(0, Volatile.Read(ref inside));
            Assert.Equal(0, server.ClientCount);
            await Task.WhenAll(clients).Soon();
        }

        static async Task Knock(EndPoint endPoint)
        {
            try
            {
                using var client = new TcpClient();
                await client.ConnectAsync((IPEndPoint)endPoint);
                await client.GetStream().WriteAsync("x"u8.ToArray());
            }
            catch (Exception error) when (error is SocketException or IOException)
            {
                // Refused, or reset by the close.
            }
        }
    }

    [Fact]
    public async Task Close_FromManyThreads_WhileStarting_Settles()
    {
        for (int i = 0; i < 30; i++)
        {
            await using var server = await Start(Medium.Tcp, Given.Echo, new() { StartServing = false });
            var endPoint = (IPEndPoint)server.EndPoints[0];
            Task start = Task.Run(() => server.StartServingAsync(CancellationToken.None), CancellationToken.None);
            Task[] closes = [.. Enumerable.Range(0, 3).Select(_ => Task.Run(server.Close))];
            await Task.WhenAll(closes).Soon();
            await server.WaitClosedAsync(TestContext.Current.CancellationToken).Soon();
            await start.ContinueWith(_ => { }, TaskScheduler.Default).Soon();
            Assert.False(server.IsServing);
            using var free = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            free.Bind(endPoint);
        }
    }

    [Fact]
    [Trait("Contract", "S6")]
    public async Task Start_Cancelled_BindsNothing()
    {
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        string path = _folder.File("c.sock");
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ByteStream.StartUnixServerAsync(Given.Echo, path, null, cancelled.Token).Soon());
        Assert.False(File.Exists(path));
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Unix)]
    [InlineData(Medium.Memory)]
    public async Task Stop_HandlersThatSayGoodbye_DeliverItAndTheReportIsClean(Medium medium)
    {
        await using var server = await Start(medium, SayGoodbye);
        EndPoint endPoint = server.EndPoints[0];
        await using ByteStreamConnection first = await Given.Connect(server);
        await using ByteStreamConnection second = await Given.Connect(server);
        await Patience.UntilAsync(() => server.ClientCount, now => now == 2);

        Task<DrainReport> stop = server.StopAsync(Timeout.InfiniteTimeSpan, TestContext.Current.CancellationToken);

        Assert.Equal("bye\n"u8.ToArray(), await first.Rest());
        Assert.Equal("bye\n"u8.ToArray(), await second.Rest());
        await first.DisposeAsync();
        await second.DisposeAsync();
        DrainReport report = await stop.Soon();
        Assert.Equal((true, 0, 0), (report.IsClean, report.Aborted, report.LeftBehind));
        await Assert.ThrowsAsync<SocketException>(() => ByteStream.OpenConnectionAsync(endPoint, null, TestContext.Current.CancellationToken).Soon());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Fault", "F42")]
    public async Task Stop_HandlerIgnoresStopping_IsAbortedAtTheTimeoutOrTheCancellation(bool cancelled)
    {
        var time = new FakeTimeProvider();
        await using var server = await Start(Medium.Tcp, Given.UntilEnd, new() { TimeProvider = time });
        await using ByteStreamConnection client = await Given.Connect(server);
        await Patience.UntilAsync(() => server.ClientCount, now => now == 1);
        using var cancel = new CancellationTokenSource();
        Task<DrainReport> stop = server.StopAsync(TimeSpan.FromSeconds(5), cancel.Token);
        time.Advance(TimeSpan.FromSeconds(4.9));
        await Task.Yield();
        Assert.False(stop.IsCompleted);

        if (cancelled)
        {
            await cancel.CancelAsync();
        }
        else
        {
            time.Advance(TimeSpan.FromSeconds(0.1));
        }

        await Assert.ThrowsAsync<ConnectionResetException>(() => client.Rest());
        DrainReport report = await stop.Soon();
        Assert.Equal((false, 1, 0), (report.IsClean, report.Aborted, report.LeftBehind));
    }

    [Fact]
    public async Task Stop_TimeoutOfZero_AbortsAtOnce()
    {
        await using var server = await Start(Medium.Tcp, Given.UntilEnd);
        await using ByteStreamConnection client = await Given.Connect(server);
        await Patience.UntilAsync(() => server.ClientCount, now => now == 1);

        Assert.Equal(1, (await server.StopAsync(TimeSpan.Zero, TestContext.Current.CancellationToken).Soon()).Aborted);

        await Assert.ThrowsAsync<ConnectionResetException>(() => client.Rest());
        Assert.True((await server.StopAsync(TimeSpan.Zero, TestContext.Current.CancellationToken).Soon()).IsClean);
    }

    [Fact]
    public async Task Stop_NegativeTimeout_Throws()
    {
        await using var server = await Start(Medium.Tcp, Given.Echo);
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(
            () => server.StopAsync(TimeSpan.FromSeconds(-2), TestContext.Current.CancellationToken).Soon());
        await Assert.ThrowsAsync<ArgumentException>(() => Start(Medium.Tcp, Given.Echo, new() { ShutdownTimeout = TimeSpan.FromSeconds(-2) }));
        Assert.True(server.IsServing);
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Memory)]
    public async Task Dispose_HandlerWaitsForStopping_EndsIt(Medium medium)
    {
        await using var server = await Start(medium, SayGoodbye);
        await using ByteStreamConnection client = await Given.Connect(server);
        await Patience.UntilAsync(() => server.ClientCount, now => now == 1);

        Task disposed = server.DisposeAsync().AsTask();

        Assert.Equal("bye\n"u8.ToArray(), await client.Rest());
        await client.DisposeAsync();
        await disposed.Soon();
        Assert.Equal(0, server.ClientCount);
    }

    [Fact]
    public async Task Stop_OneHandlersRegistrationThrows_TheOthersAreRequestedToEnd()
    {
        using ILoggerFactory logs = Given.Logs(out FakeLogCollector collector);
        var begun = new SemaphoreSlim(0);
        await using var server = await Start(
            Medium.Tcp,
            async (reader, writer, stopping) =>
            {
                using CancellationTokenRegistration faulty = stopping.Register(() => throw new InvalidOperationException("faulty"));
                begun.Release();
                await SayGoodbye(reader, writer, stopping);
            },
            new() { LoggerFactory = logs });
        await using ByteStreamConnection first = await Given.Connect(server);
        await using ByteStreamConnection second = await Given.Connect(server);
        await begun.WaitAsync(TestContext.Current.CancellationToken).Soon();
        await begun.WaitAsync(TestContext.Current.CancellationToken).Soon();

        Task<DrainReport> stop = server.StopAsync(Timeout.InfiniteTimeSpan, TestContext.Current.CancellationToken);

        Assert.Equal("bye\n"u8.ToArray(), await first.Rest());
        Assert.Equal("bye\n"u8.ToArray(), await second.Rest());
        await first.DisposeAsync();
        await second.DisposeAsync();
        Assert.True((await stop.Soon()).IsClean);
        Assert.Equal(2, collector.AtLeast(LogLevel.Error).Count(error => error.Exception!.ToString().Contains("faulty", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Stop_HandlersThatObserveTheToken_AreCancelledAndDeliverTheirReply()
    {
        await using var server = await Start(Medium.Tcp, async (reader, writer, stopping) =>
        {
            await reader.ReadLineAsync(CancellationToken.None);
            try
            {
                await reader.ReadLineAsync(stopping);
            }
            catch (OperationCanceledException)
            {
                writer.Write("bye\n");
            }
        });
        await using ByteStreamConnection client = await Given.Connect(server);
        client.Writer.Write("x\n");
        await client.Writer.DrainAsync(CancellationToken.None);
        await Patience.UntilAsync(() => server.ClientCount, now => now == 1);
        Task<DrainReport> stop = server.StopAsync(CancellationToken.None);
        Assert.Equal("bye\n"u8.ToArray(), await client.Rest());
        Assert.True((await stop.Soon()).IsClean);
    }

    [Fact]
    [Trait("Fault", "F42")]
    public async Task Stop_HandlerThatIgnoresIt_IsAbortedAtTheDeadline()
    {
        using ILoggerFactory logs = Given.Logs(out FakeLogCollector collector);
        await using var server = await Start(Medium.Tcp, Given.UntilEnd, new() { LoggerFactory = logs });
        string name = server.EndPoints[0].ToString()!;
        await using ByteStreamConnection client = await Given.Connect(server);
        string peer = client.Writer.LocalEndPoint!.ToString()!;
        await Patience.UntilAsync(() => server.ClientCount, now => now == 1);
        using var deadline = new CancellationTokenSource();
        Task<DrainReport> stop = server.StopAsync(deadline.Token);
        Assert.False(stop.IsCompleted);
        await deadline.CancelAsync();
        Assert.Equal(1, (await stop.Soon()).Aborted);
        await Assert.ThrowsAsync<ConnectionResetException>(() => client.Rest());
        Assert.Collection(
            collector.AtLeast(LogLevel.Warning),
            all => Assert.StartsWith($"Endpoint {name}: 1 connections", all.Message, StringComparison.Ordinal),
            one => Assert.Contains($"Endpoint {name}, handler -, peer {peer}, ", one.Message, StringComparison.Ordinal));
    }

    [Fact]
    [Trait("Fault", "F42")]
    public async Task Stop_HandlerThatNeverReturns_IsReportedAsRunning()
    {
        using ILoggerFactory logs = Given.Logs(out FakeLogCollector collector);
        var time = new FakeTimeProvider();
        var released = new TaskCompletionSource();
        await using var server = await Start(Medium.Tcp, (_, _, _) => released.Task, new() { LoggerFactory = logs, TimeProvider = time });
        await using ByteStreamConnection client = await Given.Connect(server);
        await Patience.UntilAsync(() => server.ClientCount, now => now == 1);
        Task<DrainReport> stop = server.StopAsync(new CancellationToken(canceled: true));
        await Assert.ThrowsAsync<ConnectionResetException>(() => client.Rest());
        await Patience.UntilAsync(() =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return stop.IsCompleted;
        });
        Assert.Equal(1, (await stop).LeftBehind);
        Assert.Contains("are abandoned", Assert.Single(collector.AtLeast(LogLevel.Error)).Message, StringComparison.Ordinal);
        released.SetResult();
        await server.WaitClosedAsync(TestContext.Current.CancellationToken).Soon();
    }

    [Fact]
    public async Task Stop_ClientStillInMiddleware_IsCancelled()
    {
        // The handler has not begun when the stop does.
        var entered = new TaskCompletionSource();
        var go = new TaskCompletionSource();
        var told = new TaskCompletionSource();
        var options = new ByteStreamServerOptions().Use(next => async context =>
        {
            entered.SetResult();
            await go.Task;
            await next(context);
        });
        await using var server = await Start(Medium.Memory, async (reader, _, stopping) =>
        {
            stopping.UnsafeRegister(_ => told.SetResult(), null);
            await reader.ReadAsync(-1, stopping);
        }, options);
        await using ByteStreamConnection client = await Given.Connect(server);
        await entered.Task.Soon();
        Task<DrainReport> stop = server.StopAsync(CancellationToken.None);
        go.SetResult();
        await told.Task.Soon();
        Assert.True((await stop.Soon()).IsClean);
    }

    [Fact]
    public async Task Change_OptionsAfterTheStart_ChangesNothing()
    {
        var options = new ByteStreamServerOptions { Limit = 10 };
        await using var server = await Start(Medium.Memory, async (reader, writer, _) =>
        {
            await Assert.ThrowsAsync<LimitOverrunException>(() => reader.ReadLineAsync(CancellationToken.None).AsTask());
            writer.Write("refused");
        }, options);
        options.Limit = 1000;
        options.WriteBufferHighWater = 1;
        await using ByteStreamConnection client = await Given.Connect(server);
        client.Writer.Write(new string('x', 20) + "\n");
        Assert.Equal("refused"u8.ToArray(), await client.Rest());
    }

    /// <summary>Waits until the server stops, and says so to the client.</summary>
    private static async Task SayGoodbye(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        await Task.Delay(Timeout.Infinite, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        writer.Write("bye\n");
        await writer.DrainAsync(CancellationToken.None);
    }

    private static async Task Echoes(ByteStreamConnection client)
    {
        client.Writer.Write("ping\n");
        Assert.Equal("ping\n"u8.ToArray(), await client.Line());
    }

    private Task<ByteStreamServer> Start(Medium medium, ByteStreamDelegate handler, ByteStreamServerOptions? options = null) =>
        ByteStream.StartServerAsync(handler, Given.Address(medium, _folder), options, TestContext.Current.CancellationToken);
}
