using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>What a server owes its callback, and what becomes of the client when the callback ends.</summary>
public sealed class CallbackTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ILoggerFactory _logs;
    private readonly FakeLogCollector _collector;

    public CallbackTests() => _logs = Given.Logs(out _collector);

    public void Dispose()
    {
        _logs.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData(Medium.Tcp, true)]
    [InlineData(Medium.Tcp, false)]
    [InlineData(Medium.Memory, true)]
    [InlineData(Medium.Memory, false)]
    [Trait("Contract", "S1")]
    [Trait("Fault", "F40")]
    public async Task Throw_InCallback_ResetsClientLogsOneErrorAndServerGoesOn(Medium medium, bool synchronously)
    {
        string? id = null;
        // A reset before the connect is done would be the connect's own error.
        using var connected = new ManualResetEventSlim();
        await using var server = await Start(medium, Task (reader, writer, stopping) =>
        {
            if (Interlocked.CompareExchange(ref id, writer.Transport!.ConnectionId, null) is not null)
            {
                return Given.Echo(reader, writer, stopping);
            }

            connected.Wait(TimeSpan.FromSeconds(10), CancellationToken.None);
            return synchronously ? throw new FormatException("bad") : ThrowLater(reader);
        });
        await using (ByteStreamConnection failed = await Given.Connect(server))
        {
            failed.Writer.Write("x\n");
            await failed.Writer.DrainAsync(CancellationToken.None);
            connected.Set();
            await Assert.ThrowsAsync<ConnectionResetException>(() => failed.Rest());
        }

        await using (ByteStreamConnection next = await Given.Connect(server))
        {
            next.Writer.Write("y\n");
            Assert.Equal("y\n"u8.ToArray(), await next.Line());
        }

        await server.DisposeAsync().Soon();
        FakeLogRecord error = Assert.Single(_collector.AtLeast(LogLevel.Warning));
        Assert.Equal(LogLevel.Error, error.Level);
        Assert.Contains(id!, error.Message, StringComparison.Ordinal);
        Assert.IsType<FormatException>(error.Exception);

        static async Task ThrowLater(ByteStreamReader reader)
        {
            await reader.ReadLineAsync(CancellationToken.None);
            throw new FormatException("bad");
        }
    }

    [Theory]
    [InlineData(Medium.Tcp, false)]
    [InlineData(Medium.Tcp, true)]
    [InlineData(Medium.Memory, false)]
    [InlineData(Medium.Memory, true)]
    public async Task RequestClose_ReadWaitsWithStopping_CancelsTheRead(Medium medium, bool anotherTokenBefore)
    {
        var outcome = new TaskCompletionSource<(OperationCanceledException Cancelled, CancellationToken Stopping)>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = await Start(medium, async (reader, writer, stopping) =>
        {
            if (anotherTokenBefore)
            {
                using var other = new CancellationTokenSource();
                Task<byte[]> first = reader.ReadLineAsync(other.Token).AsTask();
                await other.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first.Soon());
            }

            Task<byte[]> read = reader.ReadLineAsync(stopping).AsTask();
            // Whoever asks, and whatever becomes of what others have registered.
            using CancellationTokenRegistration fails = stopping.Register(() => throw new FormatException("bad"));
            IConnectionLifetimeNotificationFeature feature = writer.Transport!.Features.Get<IConnectionLifetimeNotificationFeature>()!;
            Assert.Equal(stopping, feature.ConnectionClosedRequested);
            Exception? thrown = Record.Exception(feature.RequestClose);
            outcome.TrySetResult((await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.Soon()), stopping));
            Assert.True(thrown is null or AggregateException, $"{thrown}");
        });
        await using ByteStreamConnection client = await Given.Connect(server);

        (OperationCanceledException cancelled, CancellationToken stopped) = await outcome.Task.Soon();
        Assert.Equal(stopped, cancelled.CancellationToken);
        Assert.True(stopped.IsCancellationRequested);
    }

    [Theory]
    [InlineData(true, 1, 32768)]
    [InlineData(false, 32769, 65536)]
    [Trait("Fault", "F05")]
    public async Task Receive_PeerSendsMuch_WhoAnswersGetsHalfOfTheHighWaterMarkAtOnce(bool answers, int least, int most)
    {
        const int Size = 1 << 20;
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var largest = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = await Start(Medium.Tcp, async (_, writer, stopping) =>
        {
            if (answers)
            {
                writer.Write("hello\n");
                await writer.DrainAsync(stopping);
            }

            await go.Task.WaitAsync(stopping);
            PipeReader input = writer.Transport!.Transport.Input;
            int block = 0;
            for (long received = 0; received < Size;)
            {
                ReadResult read = await input.ReadAsync(stopping);
                foreach (ReadOnlyMemory<byte> piece in read.Buffer)
                {
                    block = Math.Max(block, piece.Length);
                }

                received += read.Buffer.Length;
                input.AdvanceTo(read.Buffer.End);
            }

            largest.SetResult(block);
        });
        await using ByteStreamConnection client = await Given.Connect(server);
        client.Writer.Write(new byte[Size]);
        Task sent = client.Writer.DrainAsync(CancellationToken.None).AsTask();
        go.SetResult();

        Assert.InRange(await largest.Task.Soon(), least, most);
        await sent.Soon();
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Memory)]
    public async Task RequestCloseClients_ReadsBeginAtThatMoment_AreCancelled(Medium medium)
    {
        for (int i = 0; i < 200; i++)
        {
            var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            await using var server = await Start(medium, async (reader, _, stopping) =>
            {
                begun.SetResult();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await reader.ReadLineAsync(stopping));
                cancelled.SetResult();
            });
            await using ByteStreamConnection client = await Given.Connect(server);
            await begun.Task.Soon();
            server.RequestCloseClients();
            await cancelled.Task.Soon();
        }
    }

    [Fact]
    [Trait("Contract", "S1")]
    public async Task Throw_InCallbackOverUnixSocket_EndsClientAndLogsOneError()
    {
        await using var server = await Start(Medium.Unix, (_, _, _) => throw new FormatException("bad"));
        await using (ByteStreamConnection failed = await Given.Connect(server))
        {
            // A Unix socket knows no reset: the end, where nothing was left unread.
            Assert.Empty(await failed.Rest());
        }

        await server.DisposeAsync().Soon();
        Assert.IsType<FormatException>(Assert.Single(_collector.AtLeast(LogLevel.Warning)).Exception);
    }

    [Fact]
    [Trait("Contract", "S1")]
    public async Task Disconnect_OfTheCallbacksOwnConnection_IsTheCallbacksFailure()
    {
        await using var server = await Start(Medium.Tcp, async (reader, _, _) =>
        {
            await reader.ReadLineAsync(CancellationToken.None);
            throw new ConnectionResetException("another connection, to a database");
        });
        await using (ByteStreamConnection client = await Given.Connect(server))
        {
            client.Writer.Write("x\n");
            await Assert.ThrowsAsync<ConnectionResetException>(() => client.Rest());
        }

        await server.DisposeAsync().Soon();
        Assert.Equal(LogLevel.Error, Assert.Single(_collector.AtLeast(LogLevel.Warning)).Level);
    }

    [Fact]
    [Trait("Contract", "S1")]
    public async Task Throw_InMiddleware_ResetsClientAndLogsOneError()
    {
        var connected = new TaskCompletionSource();
        var options = new ByteStreamServerOptions { LoggerFactory = _logs }.Use(_ => async _ =>
        {
            await connected.Task;
            throw new FormatException("bad");
        });
        await using var server = await ByteStream.StartServerAsync(
            Given.Echo, "127.0.0.1", 0, options, TestContext.Current.CancellationToken);
        await using (ByteStreamConnection client = await Given.Connect(server))
        {
            connected.SetResult();
            await Assert.ThrowsAsync<ConnectionResetException>(() => client.Rest());
        }

        await server.DisposeAsync().Soon();
        Assert.Contains("middleware", Assert.Single(_collector.AtLeast(LogLevel.Warning)).Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Fault", "F03")]
    public async Task Reset_ByClientWhileCallbackReads_ThrowsAndIsLoggedAtInformationWithoutStack()
    {
        var seen = new TaskCompletionSource<Exception>();
        var reading = new TaskCompletionSource();
        await using var server = await Start(Medium.Tcp, async (reader, _, _) =>
        {
            Assert.Equal("x"u8.ToArray(), await reader.ReadAsync(10, CancellationToken.None));
            try
            {
                ValueTask<byte[]> read = reader.ReadAsync(10, CancellationToken.None);
                reading.SetResult();
                await read;
            }
            catch (Exception error)
            {
                seen.SetResult(error);
                throw;
            }
        });
        Socket client = await Given.RawClient(server);
        await client.SendAsync("x"u8.ToArray(), CancellationToken.None);
        await reading.Task.Soon();
        client.Reset();

        Assert.IsType<ConnectionResetException>(await seen.Task.Soon());
        await server.DisposeAsync().Soon();
        Assert.Empty(_collector.AtLeast(LogLevel.Warning));
        FakeLogRecord line = Assert.Single(_collector.GetSnapshot(), record => record.Level == LogLevel.Information);
        Assert.Null(line.Exception);
        Assert.DoesNotContain(_collector.GetSnapshot(), record => record.Exception is not null);
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Unix)]
    [InlineData(Medium.Memory)]
    [Trait("Contract", "S2")]
    public async Task Return_FromCallback_DeliversEverythingAndThenTheEnd(Medium medium)
    {
        byte[] reply = new byte[1 << 20];
        Random.Shared.NextBytes(reply);
        await using var server = await Start(medium, (_, writer, _) =>
        {
            writer.Write(reply);
            return Task.CompletedTask;
        });
        await using ByteStreamConnection client = await Given.Connect(server);
        Assert.Equal(reply, await client.Rest());
        Assert.True(client.Reader.AtEof);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Contract", "S9")]
    [Trait("Fault", "F08")]
    public async Task Connect_AndLeaveAtOnce_LogsNothingAboveInformation(bool byReset)
    {
        await using var server = await Start(Medium.Tcp, Given.Echo);
        for (int i = 0; i < 300; i++)
        {
            Socket client = await Given.RawClient(server);
            if (byReset)
            {
                client.Reset();
            }
            else
            {
                client.Dispose();
            }
        }

        await using (ByteStreamConnection canary = await Given.Connect(server))
        {
            canary.Writer.Write("x\n");
            Assert.Equal("x\n"u8.ToArray(), await canary.Line());
        }

        await server.DisposeAsync().Soon();
        Assert.Empty(_collector.AtLeast(LogLevel.Warning));
        Assert.Equal(0, server.ClientCount);
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Unix)]
    [InlineData(Medium.Memory)]
    [Trait("Fault", "F08")]
    public async Task Write_Nothing_IsNoEnd(Medium medium)
    {
        await using var server = await Start(medium, async (reader, writer, _) =>
        {
            writer.Write([]);
            await writer.DrainAsync(CancellationToken.None);
            await Given.Echo(reader, writer, default);
        });
        await using ByteStreamConnection client = await Given.Connect(server);
        client.Writer.Write([]);
        await client.Writer.DrainAsync(CancellationToken.None).Soon();
        client.Writer.Write("x\n");
        Assert.Equal("x\n"u8.ToArray(), await client.Line());
    }

    [Fact]
    [Trait("Contract", "S10")]
    public async Task Call_OverTcp_KnowsPeerAndIdBeforeReading()
    {
        var facts = new TaskCompletionSource<(EndPoint? Peer, EndPoint? Own, string Id)>();
        await using var server = await Start(Medium.Tcp, (_, writer, _) =>
        {
            facts.SetResult((writer.RemoteEndPoint, (EndPoint?)writer.GetExtraInfo("sockname"), writer.Transport!.ConnectionId));
            return Task.CompletedTask;
        });
        using Socket client = await Given.RawClient(server);
        (EndPoint? peer, EndPoint? own, string id) = await facts.Task.Soon();
        Assert.Equal(client.LocalEndPoint, peer);
        Assert.Equal(client.RemoteEndPoint, own);
        Assert.NotEmpty(id);
    }

    [Fact]
    [Trait("Contract", "S10")]
    public async Task Call_OnDualModeListener_ShowsIPv4PeerAsIPv4()
    {
        var peer = new TaskCompletionSource<EndPoint?>();
        await using var server = await ByteStream.StartServerAsync(
            (_, writer) =>
            {
                peer.SetResult(writer.RemoteEndPoint);
                return Task.CompletedTask;
            }, null, 0, cancellationToken: TestContext.Current.CancellationToken);
        using var client = new TcpClient(AddressFamily.InterNetwork);
        await client.ConnectAsync(IPAddress.Loopback, server.Port(), TestContext.Current.CancellationToken).Soon();
        Assert.Equal(client.Client.LocalEndPoint, await peer.Task.Soon());
    }

    [Fact]
    [Trait("Contract", "S10")]
    public async Task Call_OverUnixSocket_KnowsPeerCredentials()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "SO_PEERCRED is Linux'.");
        var pid = new TaskCompletionSource<int?>();
        await using var server = await Start(Medium.Unix, (_, writer, _) =>
        {
            pid.SetResult(writer.PeerCredentials?.ProcessId);
            return Task.CompletedTask;
        });
        await using ByteStreamConnection client = await Given.Connect(server);
        Assert.Equal(Environment.ProcessId, await pid.Task.Soon());
    }

    [Theory]
    [InlineData(Medium.Tcp)]
    [InlineData(Medium.Memory)]
    public async Task Use_SeveralMiddleware_SeeTheConnectionInOrder(Medium medium)
    {
        var order = new List<string>();
        var options = new ByteStreamServerOptions { LoggerFactory = _logs }
            .Use(next => async context =>
            {
                order.Add("first in");
                await next(context);
                order.Add("first out");
            })
            .Use(next => async context =>
            {
                order.Add("second in");
                await next(context);
                order.Add("second out");
            });
        await using var server = await ByteStream.StartServerAsync(
            (_, _, _) =>
            {
                order.Add("handler");
                return Task.CompletedTask;
            }, Given.Address(medium, _folder), options, TestContext.Current.CancellationToken);
        await using (ByteStreamConnection client = await Given.Connect(server))
        {
            Assert.Empty(await client.Rest());
        }

        await server.DisposeAsync().Soon();
        Assert.Equal(["first in", "second in", "handler", "second out", "first out"], order);
    }

    private Task<ByteStreamServer> Start(Medium medium, ByteStreamDelegate handler) => ByteStream.StartServerAsync(
        handler, Given.Address(medium, _folder), new ByteStreamServerOptions { LoggerFactory = _logs }, TestContext.Current.CancellationToken);
}
