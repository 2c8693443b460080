using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Connections;

/// <summary>Connection middleware of outbound connections.</summary>
public sealed class OutboundMiddlewareTests
{
    private static CancellationToken Test => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Use_TwoMiddleware_SurroundTheConnectionInTheOrderOfTheCalls()
    {
        await using ByteStreamServer server = await StartAsync();
        var steps = new List<string>();
        ByteStreamClientOptions options = new ByteStreamClientOptions().Use(Note("outer")).Use(Note("inner"));

        for (int i = 0; i < 2; i++)
        {
            await using (ByteStreamConnection connection = await ConnectAsync(server, options))
            {
                steps.Add("open");
                connection.Writer.Write("hello\n"u8);
                Assert.Equal("hello", await connection.Reader.ReadTextLineAsync(cancellationToken: Test));
            }

            Assert.Equal(["outer in", "inner in", "open", "inner out", "outer out"], steps);
            steps.Clear();
        }

        Func<ConnectionDelegate, ConnectionDelegate> Note(string name) => next => async context =>
        {
            steps.Add($"{name} in");
            await next(context);
            steps.Add($"{name} out");
        };
    }

    [Fact]
    public async Task UseByteLogging_LogsThePlainBytesOfTheClient()
    {
        await using ByteStreamServer server = await StartAsync();
        var log = new FakeLogCollector();
        using var factory = LoggerFactory.Create(builder => builder.AddProvider(new FakeLoggerProvider(log)).SetMinimumLevel(LogLevel.Debug));
        var options = new ByteStreamClientOptions { LoggerFactory = factory };
        options.UseByteLogging();

        await using (ByteStreamConnection connection = await ConnectAsync(server, options))
        {
            connection.Writer.Write("hello\n"u8);
            Assert.Equal("hello", await connection.Reader.ReadTextLineAsync(cancellationToken: Test));
        }

        Assert.Contains(log.GetSnapshot(), record => record.Category == "ByteStreams.Bytes" && record.Message.Contains("hello", StringComparison.Ordinal));
    }

    [Fact]
    public async Task UseTimeouts_ServerIsSilent_TheConnectionIsAbortedAndTheReadEnds()
    {
        await using ByteStreamServer server = await StartAsync();
        var time = new FakeTimeProvider();
        var options = new ByteStreamClientOptions { TimeProvider = time };
        options.UseTimeouts(timeouts => timeouts.ReceiveIdle = TimeSpan.FromSeconds(5));
        await using ByteStreamConnection connection = await ConnectAsync(server, options);
        Task<byte[]> read = connection.Reader.ReadLineAsync(Test).AsTask();

        for (int i = 0; i < 30 && !read.IsCompleted; i++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        // The end, or the abort, whichever the read sees first.
        Exception? error = await Record.ExceptionAsync(() => read.WaitAsync(Patience.Limit, Test));
        Assert.True(error is null or ConnectionAbortedException, $"{error}");
        Assert.Equal(
            ConnectionCloseReason.ReceiveIdleTimeout, connection.Writer.Transport!.Features.Get<IByteStreamTransportFeature>()!.CloseReason);
    }

    [Fact]
    public async Task Use_MiddlewareDoesNotCallNext_TheConnectFails()
    {
        await using ByteStreamServer server = await StartAsync();
        ByteStreamClientOptions options = new ByteStreamClientOptions().Use(_ => _ => Task.CompletedTask);

        ConnectionAbortedException error = await Assert.ThrowsAsync<ConnectionAbortedException>(() => ConnectAsync(server, options));

        Assert.Contains("did not call the next middleware", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Use_MiddlewareFails_TheConnectFailsWithItsError()
    {
        await using ByteStreamServer server = await StartAsync();
        ByteStreamClientOptions options = new ByteStreamClientOptions().Use(_ => _ => throw new FormatException("no"));

        await Assert.ThrowsAsync<FormatException>(() => ConnectAsync(server, options));
    }

    [Fact]
    public async Task Use_CancelledWithinMiddleware_TheConnectIsCancelled()
    {
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            async (reader, _) =>
            {
                await Record.ExceptionAsync(() => reader.ReadAsync(cancellationToken: Test).AsTask());
                closed.SetResult();
            },
            "127.0.0.1", 0, cancellationToken: Test);
        using var cancel = new CancellationTokenSource();
        ByteStreamClientOptions options = new ByteStreamClientOptions().Use(next => async context =>
        {
            await cancel.CancelAsync();
            await context.Transport.Input.ReadAsync(CancellationToken.None);
            await next(context);
        });

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => ByteStream.OpenConnectionAsync(server.EndPoints[0], options, cancel.Token));
        await closed.Task.WaitAsync(Patience.Limit, Test);
    }

    [Fact]
    public async Task Use_ServerCloses_TheMiddlewareReturnsBeforeTheDispose()
    {
        await using ByteStreamServer server = await StartAsync();
        var returned = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        ByteStreamClientOptions options = new ByteStreamClientOptions().Use(next => async context =>
        {
            await next(context);
            returned.SetResult();
        });
        await using ByteStreamConnection connection = await ConnectAsync(server, options);

        connection.Writer.Abort();

        await returned.Task.WaitAsync(Patience.Limit, Test);
    }

    private static Task<ByteStreamServer> StartAsync() => ByteStream.StartServerAsync(
        async (reader, writer) =>
        {
            await foreach (byte[] line in reader)
            {
                writer.Write(line);
            }
        },
        "127.0.0.1", 0, cancellationToken: Test);

    private static Task<ByteStreamConnection> ConnectAsync(ByteStreamServer server, ByteStreamClientOptions options) =>
        ByteStream.OpenConnectionAsync(server.EndPoints[0], options, Test);
}
