using System.Net;
using System.Text;
using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>Where a server logs that was given no logger factory.</summary>
public sealed class DefaultLoggingTests : ServedTest
{
    private static readonly IPEndPoint Loopback = new(IPAddress.Loopback, 0);

    [Fact]
    public async Task StartServer_HandlerThrows_StandardErrorHasTheExceptionAndItsStackInOneLine()
    {
        string marker = Guid.NewGuid().ToString();
        string written = await StandardErrorAsync(() => FailAsync(new ByteStreamServerOptions(), $"first\n{marker}"));

        string line = Assert.Single(written.Split('\n'), line => line.Contains(marker, StringComparison.Ordinal));
        Assert.Matches(
            @"^fail: ByteStreams\.Connection\[400\] Connection \S+: the handler failed; the connection is reset\. System\.IO\.InvalidDataException: first \| "
            + $@"{marker} \| at .*{nameof(DefaultLoggingTests)}",
            line);
    }

    [Fact]
    public async Task StartServer_NullLoggerFactory_LogsNothing()
    {
        string marker = Guid.NewGuid().ToString();
        string written = await StandardErrorAsync(() => FailAsync(new ByteStreamServerOptions { LoggerFactory = NullLoggerFactory.Instance }, marker));

        Assert.DoesNotContain(marker, written, StringComparison.Ordinal);
    }

    [Fact]
    public async Task StartServer_ApplicationServicesWithALoggerFactory_LogsThere()
    {
        string marker = Guid.NewGuid().ToString();
        await using ServiceProvider services = new ServiceCollection().AddFakeLogging().BuildServiceProvider();

        string written = await StandardErrorAsync(() => FailAsync(new ByteStreamServerOptions { ApplicationServices = services }, marker));

        Assert.Contains(services.GetFakeLogCollector().GetSnapshot(), record => record.Exception?.Message == marker);
        Assert.DoesNotContain(marker, written, StringComparison.Ordinal);
    }

    [Fact]
    public void Log_TextOfAPeer_IsEscapedAndStaysOneLine()
    {
        using var output = new StringWriter { NewLine = "\n" };
        using var factory = new StandardErrorLoggerFactory(() => output);

        Write(factory, LogLevel.Warning, "a\nfail: forged \u001b[2J", new InvalidDataException("why"));
        factory.Dispose();

        Assert.Equal("warn: Tests[7] a\\u{A}fail: forged \\u{1B}[2J System.IO.InvalidDataException: why\n", output.ToString());
    }

    [Theory]
    [InlineData(LogLevel.Debug, "")]
    [InlineData(LogLevel.Information, "")]
    [InlineData(LogLevel.Warning, "warn: Tests[7] text\n")]
    [InlineData(LogLevel.Error, "fail: Tests[7] text\n")]
    [InlineData(LogLevel.Critical, "crit: Tests[7] text\n")]
    public void Log_ByLevel_WritesFromWarningOn(LogLevel level, string line)
    {
        using var output = new StringWriter { NewLine = "\n" };
        using var factory = new StandardErrorLoggerFactory(() => output);

        Write(factory, level, "text", null);
        factory.Dispose();

        Assert.Equal(line, output.ToString());
    }

    [Fact(Timeout = 60000)]
    [Trait("Fault", "F81")]
    public async Task StartServer_StandardErrorIsNotRead_ServesOn()
    {
        using var unread = new UnreadWriter();
        using var factory = new StandardErrorLoggerFactory(() => unread);
        for (int i = 0; i < 20; i++)
        {
            await FailAsync(new ByteStreamServerOptions { LoggerFactory = factory }, "why");
        }

        Assert.True(unread.IsWaiting);
        unread.Read();
    }

    private static void Write(StandardErrorLoggerFactory factory, LogLevel level, string text, Exception? exception) =>
        factory.CreateLogger("Tests").Log(level, new EventId(7), text, exception, (state, _) => state);

    /// <summary>What is written to standard error meanwhile; other tests may write there too.</summary>
    private static async Task<string> StandardErrorAsync(Func<Task> action)
    {
        TextWriter before = Console.Error;
        using var written = new StringWriter();
        Console.SetError(written);
        try
        {
            await action();
            Assert.True(DefaultLogging.Flush(TimeSpan.FromSeconds(30)));
        }
        finally
        {
            Console.SetError(before);
        }

        return written.ToString();
    }

    private async Task FailAsync(ByteStreamServerOptions options, string message)
    {
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            async (reader, _, stopping) =>
            {
                await reader.ReadExactlyAsync(1, stopping);
                throw new InvalidDataException(message);
            },
            Loopback,
            options,
            Soon);
        await using ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Soon);
        connection.Writer.Write("x"u8);
        await Assert.ThrowsAsync<ConnectionResetException>(() => connection.Reader.ReadExactlyAsync(1, Soon).AsTask());
        await server.StopAsync(Soon);
    }

    /// <summary>A pipe that is full until it is read.</summary>
    private sealed class UnreadWriter : TextWriter
    {
        private readonly ManualResetEventSlim _read = new();

        public bool IsWaiting { get; private set; }

        public override Encoding Encoding => Encoding.UTF8;

        public void Read() => _read.Set();

        public override void WriteLine(string? value)
        {
            IsWaiting = true;
            _read.Wait();
        }

        protected override void Dispose(bool disposing)
        {
            _read.Dispose();
            base.Dispose(disposing);
        }
    }
}
