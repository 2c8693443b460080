using System.Buffers;
using System.Buffers.Binary;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Contract.Tests;

public abstract partial class ConnectionContract
{
    [Fact, Trait("Contract", "W1")]
    public async Task Write_HandlerAwaitsSomethingElse_BytesArrive()
    {
        Link link = await ConnectAsync();
        link.Writer.Write("tick\n");
        // No drain, no read, no close by this side.
        Assert.Equal("tick\n", Text(await link.Client.Reader.ReadLineAsync(Soon)));
        link.Client.Writer.Write("tock\n");
        Assert.Equal("tock\n", Text(await link.Reader.ReadLineAsync(Soon)));
    }

    [Fact, Trait("Contract", "W2")]
    public async Task Write_AfterWriteEof_Throws()
    {
        Link link = await ConnectAsync();
        link.Writer.WriteEof();
        Assert.Throws<InvalidOperationException>(() => link.Writer.Write("x"u8));
        Assert.Throws<InvalidOperationException>(() => link.Writer.WriteLines([Bytes("x")]));
        Assert.Throws<InvalidOperationException>(() => link.Writer.GetMemory());
    }

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
    public async Task WriteLines_EmptyChunksAmongOthers_SendsTheRestInOrder()
    {
        Link link = await ConnectAsync();
        link.Writer.WriteLines([Bytes("a"), default, Bytes(""), Bytes("bc"), Bytes("\n")]);
        link.Writer.WriteLines([]);
        Assert.Equal("abc\n", Text(await link.Client.Reader.ReadLineAsync(Soon)));
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

    [Fact, Trait("Contract", "W13")]
    public async Task PeersFin_LeavesWritingOpen()
    {
        Link link = await ConnectAsync();
        link.Client.Writer.Write("question"u8);
        link.Client.Writer.WriteEof();
        Assert.Equal("question", Text(await link.Reader.ReadAsync(cancellationToken: Soon)));
        Assert.True(link.Reader.AtEof);
        Assert.False(link.Writer.IsClosing);
        link.Writer.Write("answer\n"u8);
        await link.Writer.DrainAsync(Soon);
        Assert.Equal("answer\n", Text(await link.Client.Reader.ReadLineAsync(Soon)));
    }

    [Fact, Trait("Contract", "W14"), Trait("Fault", "F15")]
    public async Task Write_FromManyThreads_NeverInterleavesInsideACall()
    {
        const int writers = 8;
        const int frames = 100;
        Link link = await ConnectAsync();
        Task[] writing = [.. Enumerable.Range(0, writers).Select(id => Task.Run(
            async () =>
            {
                var random = new Random(id);
                for (int i = 0; i < frames; i++)
                {
                    byte[] frame = new byte[4 + random.Next(1, 9000)];
                    BinaryPrimitives.WriteInt32BigEndian(frame, frame.Length - 4);
                    frame.AsSpan(4).Fill((byte)id);
                    switch (i % 3)
                    {
                        case 0:
                            link.Writer.Write(frame);
                            break;
                        case 1:
                            link.Writer.WriteLines([frame.AsMemory(0, 4), default, frame.AsMemory(4)]);
                            break;
                        default:
                            link.Writer.Write(new ReadOnlySequence<byte>(frame));
                            break;
                    }

                    if (i % 10 == 0)
                    {
                        await link.Writer.DrainAsync(Soon);
                    }
                }
            },
            Soon))];
        int[] seen = new int[writers];
        for (int i = 0; i < writers * frames; i++)
        {
            int length = BinaryPrimitives.ReadInt32BigEndian(await link.Client.Reader.ReadExactlyAsync(4, Soon));
            Assert.InRange(length, 1, 9000);
            byte[] body = await link.Client.Reader.ReadExactlyAsync(length, Soon);
            Assert.Equal(-1, body.AsSpan().IndexOfAnyExcept(body[0]));
            seen[body[0]]++;
        }

        await Task.WhenAll(writing);
        Assert.All(seen, count => Assert.Equal(frames, count));
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
