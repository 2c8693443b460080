using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Contract.Tests;

public abstract partial class ConnectionContract
{
    [Fact, Trait("Contract", "W2")]
    public async Task Write_AfterClose_IsDroppedWithOneWarning()
    {
        var log = new FakeLogCollector();
        Link link = await ConnectAsync(client: options => options.LoggerFactory = Logging(log));
        ByteStreamWriter writer = link.Client.Writer;
        writer.Write("before"u8);
        writer.Close();
        writer.Write("after"u8);
        writer.Write("and again"u8);
        writer.GetSpan(5)[0] = 1;
        writer.Advance(5);
        Assert.Equal("before", Text(await link.Reader.ReadAsync(cancellationToken: Soon)));
        FakeLogRecord warning = Assert.Single(log.GetSnapshot(), record => record.Level == LogLevel.Warning);
        Assert.Equal(100, warning.Id.Id);
        Assert.Contains(writer.ConnectionId!, warning.Message, StringComparison.Ordinal);
    }

    [Fact, Trait("Contract", "W2")]
    public async Task Write_AfterTheConnectionIsLost_IsDroppedWithOneWarning()
    {
        var log = new FakeLogCollector();
        Link link = await ConnectAsync(client: options => options.LoggerFactory = Logging(log));
        await ResetByServerAsync(link);
        await Assert.ThrowsAsync<Microsoft.AspNetCore.Connections.ConnectionResetException>(
            () => link.Client.Writer.WaitClosedAsync(Soon));
        Assert.True(link.Client.Writer.IsClosing);
        link.Client.Writer.Write("x"u8);
        link.Client.Writer.Write("y"u8);
        Assert.Single(log.GetSnapshot(), record => record.Level == LogLevel.Warning && record.Id.Id == 100);
    }

    [Fact, Trait("Contract", "W4")]
    public async Task WriteLines_AboveHighWater_MakesDrainWait()
    {
        Link link = await ConnectAsync();
        Task drain;
        ReadOnlyMemory<byte>[] chunks = [new byte[30000], default, new byte[40000]];
        do
        {
            link.Writer.WriteLines(chunks);
            drain = link.Writer.DrainAsync(Soon).AsTask();
        }
        while (await Task.WhenAny(drain, Task.Delay(100, Soon)) == drain);

        Task<long> read = DiscardAsync(link.Client.Reader);
        await drain;
        link.Writer.Close();
        Assert.True(await read % 70000 == 0);
    }

    private static ILoggerFactory Logging(FakeLogCollector log) =>
        LoggerFactory.Create(builder => builder.SetMinimumLevel(LogLevel.Trace).AddProvider(new FakeLoggerProvider(log)));

    /// <summary>
    /// The server resets the connection. A Unix socket has no reset of its own: its peer sees one if bytes were left unread, so
    /// here they are.
    /// </summary>
    private async Task ResetByServerAsync(Link link)
    {
        link.Client.Writer.Write("unread"u8);
        await link.Client.Writer.DrainAsync(Soon);
        link.Writer.Abort();
    }

    private async Task ResetByClientAsync(Link link)
    {
        link.Writer.Write("unread"u8);
        await link.Writer.DrainAsync(Soon);
        link.Client.Writer.Abort();
    }
}
