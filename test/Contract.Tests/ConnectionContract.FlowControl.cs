using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Contract.Tests;

public abstract partial class ConnectionContract
{
    /// <summary>What the medium itself holds of received bytes before they are counted as buffered: TLS has a few records.</summary>
    private int Slack => ServerTls is null ? 0 : 65536;

    [Fact, Trait("Contract", "W5")]
    public async Task WriteBufferLimits_Default_Are64KiBAndAQuarterOfIt()
    {
        Link link = await ConnectAsync();
        Assert.Equal((65536, 16384), link.ServerLink.WriteBufferLimits);
        Assert.Equal((65536, 16384), link.ClientLink.WriteBufferLimits);
    }

    [Fact, Trait("Contract", "W5")]
    public async Task WriteBufferLimits_FromOptions_AreTaken()
    {
        Link link = await ConnectAsync(
            server => server.WriteBufferHighWater = 1000,
            client => (client.WriteBufferHighWater, client.WriteBufferLowWater) = (300, 300));
        Assert.Equal((1000, 250), link.ServerLink.WriteBufferLimits);
        Assert.Equal((300, 300), link.ClientLink.WriteBufferLimits);
    }

    [Fact, Trait("Contract", "W5")]
    public async Task SetWriteBufferLimits_KeepsAsynciosDefaults()
    {
        Link link = await ConnectAsync();
        link.Writer.SetWriteBufferLimits(high: 4000);
        Assert.Equal((4000, 1000), link.ServerLink.WriteBufferLimits);
        link.Writer.SetWriteBufferLimits(low: 500);
        Assert.Equal((2000, 500), link.ServerLink.WriteBufferLimits);
        link.Writer.SetWriteBufferLimits(high: 0);
        Assert.Equal((0, 0), link.ServerLink.WriteBufferLimits);
        link.Writer.SetWriteBufferLimits();
        Assert.Equal((65536, 16384), link.ServerLink.WriteBufferLimits);
    }

    [Theory, Trait("Contract", "W5")]
    [InlineData(10, 11)]
    [InlineData(10, -1)]
    [InlineData(-1, -1)]
    public async Task SetWriteBufferLimits_NotHighAboveLowAboveZero_Throws(int high, int low)
    {
        Link link = await ConnectAsync();
        Assert.Throws<ArgumentOutOfRangeException>(() => link.Writer.SetWriteBufferLimits(high, low));
        Assert.Equal((65536, 16384), link.ServerLink.WriteBufferLimits);
    }

    [Fact, Trait("Contract", "W6")]
    public async Task Drain_AtHighWater_ReturnsAtOnceThoughThePeerDoesNotRead()
    {
        Link link = await ConnectAsync();
        Task drain = await FillAsync(link.Writer);
        // The queue is far from empty now, and all of it is under these marks.
        int mark = (int)link.ServerLink.WriteBufferSize + 100;
        link.Writer.SetWriteBufferLimits(mark, mark);
        await drain;
        link.Writer.Write(new byte[100]);
        Assert.True(link.Writer.DrainAsync(Soon).AsTask().IsCompletedSuccessfully);
    }

    [Fact, Trait("Contract", "W6")]
    public async Task Drain_AboveHighWater_WaitsUntilLowWater()
    {
        Link link = await ConnectAsync();
        link.Writer.SetWriteBufferLimits(high: 65536, low: 1000);
        Task drain = await FillAsync(link.Writer);
        Assert.False(drain.IsCompleted);
        Assert.InRange(link.ServerLink.WriteBufferSize, 1001, long.MaxValue);
        Task<long> read = DiscardAsync(link.Client.Reader);
        await drain;
        Assert.InRange(link.ServerLink.WriteBufferSize, 0, 1000);
        link.Writer.Close();
        await read;
    }

    [Fact, Trait("Contract", "W6")]
    public async Task Drain_BytesWrittenWhileAnotherDrainWaits_WaitsForThemToo()
    {
        Link link = await ConnectAsync();
        Task first = await FillAsync(link.Writer);
        link.Writer.Write(new byte[300000]);
        Task second = link.Writer.DrainAsync(Soon).AsTask();
        Task<long> read = DiscardAsync(link.Client.Reader);
        await second;
        // Down to low water, or never above high water where the reader was fast.
        Assert.InRange(link.ServerLink.WriteBufferSize, 0, 65536);
        await first;
        link.Writer.Close();
        await read;
    }

    [Fact, Trait("Contract", "W6")]
    public async Task Drain_HighWaterLoweredUnderWhatIsQueued_Waits()
    {
        Link link = await ConnectAsync();
        Task drain = await FillAsync(link.Writer);
        link.Writer.SetWriteBufferLimits(high: 1 << 30, low: 1 << 29);
        await drain;
        link.Writer.SetWriteBufferLimits(high: 0);
        Task again = link.Writer.DrainAsync(Soon).AsTask();
        Assert.False(again.IsCompleted);
        Task<long> read = DiscardAsync(link.Client.Reader);
        await again;
        Assert.Equal(0, link.ServerLink.WriteBufferSize);
        link.Writer.Close();
        await read;
    }

    [Fact, Trait("Contract", "W6"), Trait("Fault", "F04")]
    public async Task Drain_ManyWaitAndThePeerResets_AllThrow()
    {
        Link link = await ConnectAsync();
        Task first = await FillAsync(link.Writer);
        Task[] drains = [first, .. Enumerable.Range(0, 20).Select(_ => link.Writer.DrainAsync(Soon).AsTask())];
        link.Client.Writer.Abort();
        foreach (Task drain in drains)
        {
            await Assert.ThrowsAsync<ConnectionResetException>(() => drain);
        }

        await Assert.ThrowsAsync<ConnectionResetException>(() => link.Writer.DrainAsync(Soon).AsTask());
    }

    [Fact, Trait("Contract", "W6")]
    public async Task Drain_ReaderHasAStoredException_ThrowsThatFirst()
    {
        Link link = await ConnectAsync();
        var stored = new InvalidDataException("stored");
        link.Reader.SetException(stored);
        Assert.Same(stored, await Assert.ThrowsAsync<InvalidDataException>(() => link.Writer.DrainAsync(Soon).AsTask()));
        link.Writer.Close();
        Assert.Same(stored, await Assert.ThrowsAsync<InvalidDataException>(() => link.Writer.DrainAsync(Soon).AsTask()));
    }

    [Theory, Trait("Fault", "F15"), Trait("Contract", "W6")]
    [InlineData("close")]
    [InlineData("abort")]
    [InlineData("dispose")]
    public async Task Drain_ClosedFromThisSideMeanwhile_ThrowsAtOnce(string how)
    {
        Link link = await ConnectAsync();
        Task drain = await FillAsync(link.Client.Writer);
        Task done = EndAsync(link.Client, how);
        await Assert.ThrowsAsync<ConnectionResetException>(() => drain.WaitAsync(Soon));
        if (how == "dispose")
        {
            link.Writer.Abort();
        }

        await done.WaitAsync(Soon);
    }

    [Theory, Trait("Fault", "F15")]
    [InlineData("close")]
    [InlineData("abort")]
    [InlineData("dispose")]
    public async Task Read_ClosedFromThisSideMeanwhile_SeesTheEndAtOnce(string how)
    {
        Link link = await ConnectAsync();
        Task<byte[]> read = link.Client.Reader.ReadLineAsync(Soon).AsTask();
        Task done = EndAsync(link.Client, how);
        Assert.Empty(await read.WaitAsync(Soon));
        await done.WaitAsync(Soon);
        Assert.Empty(await link.Client.Reader.ReadAsync(100, Soon));
    }

    [Fact, Trait("Fault", "F15"), Trait("Contract", "R17")]
    public async Task Read_WhileAnotherWaits_ThrowsAndTakesNothing()
    {
        Link link = await ConnectAsync();
        Task<byte[]> first = link.Reader.ReadLineAsync(Soon).AsTask();
        InvalidOperationException error = await Assert.ThrowsAsync<InvalidOperationException>(
            () => link.Reader.ReadExactlyAsync(3, Soon).AsTask());
        Assert.Contains("ReadLineAsync", error.Message, StringComparison.Ordinal);
        Assert.Contains("ReadExactlyAsync", error.Message, StringComparison.Ordinal);
        link.Client.Writer.Write("one\ntwo\n"u8);
        Assert.Equal("one\n", Text(await first));
        Assert.Equal("two\n", Text(await link.Reader.ReadLineAsync(Soon)));
    }

    [Fact, Trait("Contract", "R19")]
    public async Task PeerSendsEndlessly_HandlerDoesNotRead_NothingIsBuffered()
    {
        Link link = await ConnectAsync();
        long before = link.ServerLink.BytesReceived;
        _ = await FillAsync(link.Client.Writer);
        Assert.InRange(link.ServerLink.BytesReceived - before, 0, Slack);
    }

    [Theory, Trait("Contract", "R19")]
    [InlineData(65536)]
    [InlineData(8192)]
    public async Task PeerSendsEndlessly_HandlerHasReadOneLine_AtMostTwiceTheLimitIsBuffered(int limit)
    {
        Link link = await ConnectAsync(options => options.Limit = limit);
        link.Client.Writer.Write("one line\n"u8);
        _ = await FillAsync(link.Client.Writer);
        Assert.Equal("one line\n", Text(await link.Reader.ReadLineAsync(Soon)));
        _ = await FillAsync(link.Client.Writer);
        Assert.InRange(link.ServerLink.BytesReceived, 9, (2 * limit) + Slack);
    }

    [Fact, Trait("Contract", "R19")]
    public async Task PeerSendsEndlessly_HandlerWaitsForTheClose_AtMostTwiceTheLimitIsBuffered()
    {
        Link link = await ConnectAsync();
        Task closed = link.Writer.WaitClosedAsync(Soon);
        _ = await FillAsync(link.Client.Writer);
        // It receives, though nobody reads: only so is the peer's end noticed.
        await Patience.UntilAsync(() => link.ServerLink.BytesReceived, now => now > 0);
        Assert.InRange(link.ServerLink.BytesReceived, 1, (2 * 65536) + Slack);
        Assert.False(closed.IsCompleted);
    }

    private static Task EndAsync(ByteStreamConnection connection, string how)
    {
        switch (how)
        {
            case "close":
                connection.Writer.Close();
                return Task.CompletedTask;
            case "abort":
                connection.Writer.Abort();
                return Task.CompletedTask;
            default:
                return connection.DisposeAsync().AsTask();
        }
    }
}
