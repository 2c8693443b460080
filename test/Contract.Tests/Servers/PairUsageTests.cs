using System.Text;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>The calls that authors of protocols write first: each compiles without a cast and without a named argument.</summary>
public sealed class PairUsageTests
{
    private static CancellationToken Test => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Read_TokenOnly_ReadsToTheEnd()
    {
        ByteStreamReader reader = Fed("ab"u8);
        reader.FeedEof();

        Assert.Equal("ab"u8.ToArray(), await reader.ReadAsync(Test));
    }

    [Fact]
    public async Task Read_TokenIsCancelled_LosesNoByte()
    {
        ByteStreamReader reader = Fed("ab"u8);
        using var cancel = new CancellationTokenSource();
        ValueTask<byte[]> read = reader.ReadAsync(cancel.Token);
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await read);
        Assert.Equal("ab"u8.ToArray(), await reader.ReadExactlyAsync(2, Test));
    }

    [Fact]
    [Trait("Contract", "R17")]
    public async Task Read_EarlierOneWasAbandonedUnderWaitAsync_FailsNamingTheRemedy()
    {
        ByteStreamReader reader = Fed("ab"u8);
        ValueTask<byte[]> abandoned = reader.ReadLineAsync(Test);
        Task<byte[]> task = abandoned.AsTask();
        await Assert.ThrowsAsync<TimeoutException>(() => task.WaitAsync(TimeSpan.Zero, Test));

        InvalidOperationException error = await Assert.ThrowsAsync<InvalidOperationException>(async () => await reader.ReadExactlyAsync(3, Test));

        Assert.Contains("ReadExactlyAsync was called while ReadLineAsync is already waiting", error.Message, StringComparison.Ordinal);
        Assert.Contains("WaitAsync and Task.WhenAny do not end a read", error.Message, StringComparison.Ordinal);
        Assert.Contains("pass it a CancellationToken", error.Message, StringComparison.Ordinal);
        reader.FeedData("\n"u8);
        Assert.Equal("ab\n"u8.ToArray(), await task);
    }

    [Fact]
    public async Task ReadTextLine_TokenOnly_ReadsUtf8WithoutTheLineEnd() =>
        Assert.Equal("é", await Fed("é\r\nx"u8).ReadTextLineAsync(Test));

    [Fact]
    public async Task ReadUntil_Span_ReturnsThroughSeparator()
    {
        ByteStreamReader reader = Fed("a\r\nb\r\n\r\nc--d"u8);

        Assert.Equal("a\r\n"u8.ToArray(), await reader.ReadUntilAsync("\r\n"u8, Test));
        Assert.Equal("b\r\n\r\n"u8.ToArray(), await reader.ReadUntilAsync("\r\n\r\n"u8, Test));
        Assert.Equal("c--"u8.ToArray(), await reader.ReadUntilAsync([45, 45], Test));
    }

    [Fact]
    public async Task ReadUntil_SpanOnTheStackIsOverwrittenWhileTheReadWaits_UsesTheSeparatorOfTheCall()
    {
        ByteStreamReader reader = Fed("a"u8);
        byte[] separator = [1, 2];
        ValueTask<byte[]> read = reader.ReadUntilAsync(separator.AsSpan(), Test);
        separator.AsSpan().Clear();
        reader.FeedData([0, 0, 1, 2]);

        Assert.Equal([(byte)'a', 0, 0, 1, 2], await read);
    }

    [Fact]
    public async Task ReadUntil_EmptySpan_ThrowsArgumentException() =>
        await Assert.ThrowsAsync<ArgumentException>(async () => await Fed("a"u8).ReadUntilAsync(""u8, Test));

    [Fact]
    public async Task ReadUntil_SpanUsedBefore_AllocatesOnlyTheReturnedArray()
    {
        ByteStreamReader reader = Fed(Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("abcdefgh\r\n", 2001))));
        await reader.ReadUntilAsync("\r\n"u8, Test);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            await reader.ReadUntilAsync("\r\n"u8, Test);
        }

        // An array of 10 bytes takes 40 bytes; a copy of the separator would take 32 more.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 44_000);
    }

    [Fact]
    [Trait("Contract", "W16")]
    public async Task Write_EachTypeOfData_SendsItsBytes()
    {
        (ByteStreamConnection first, ByteStreamConnection second) = ByteStream.CreatePair();
        await using (first)
        await using (second)
        {
            byte[] array = "array "u8.ToArray();
            ReadOnlyMemory<byte> memory = "memory "u8.ToArray();
            Memory<byte> writable = "writable "u8.ToArray();
            List<byte[]> arrays = ["1"u8.ToArray(), [], "2"u8.ToArray()];
            string[] texts = [" 3", string.Empty, "4"];
            first.Writer.Write(array);
            first.Writer.Write(memory);
            first.Writer.Write(writable);
            first.Writer.Write("span "u8);
            first.Writer.WriteLines(arrays);
            first.Writer.WriteLines(texts);
            first.Writer.WriteLines([]);
            first.Writer.WriteLines([array, "5"u8.ToArray()]);
            await first.Writer.WriteAsync(array, Test);
            await first.Writer.WriteAsync("6"u8, Test);
            await first.Writer.WriteAsync(memory, Test);
            await first.Writer.WriteAsync("text", Test);
            first.Writer.WriteEof();

            Assert.Equal(
                "array memory writable span 12 34array 5array 6memory text"u8.ToArray(), await second.Rest());
        }
    }

    [Fact]
    public async Task WriteLines_NullWithinTheList_SendsNothing()
    {
        (ByteStreamConnection first, ByteStreamConnection second) = ByteStream.CreatePair();
        await using (first)
        await using (second)
        {
            Assert.Throws<ArgumentException>(() => first.Writer.WriteLines(["a", null!]));
            Assert.Throws<ArgumentException>(() => first.Writer.WriteLines(new List<byte[]> { "a"u8.ToArray(), null! }));
            first.Writer.WriteEof();

            Assert.Empty(await second.Rest());
        }
    }

    [Fact]
    [Trait("Contract", "W16")]
    public async Task WriteAsync_TokenIsCancelledBefore_WritesNothing()
    {
        (ByteStreamConnection first, ByteStreamConnection second) = ByteStream.CreatePair();
        await using (first)
        await using (second)
        {
            var cancelled = new CancellationToken(canceled: true);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await first.Writer.WriteAsync("a"u8, cancelled));
            await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await first.Writer.WriteAsync("a", cancelled));
            first.Writer.WriteEof();

            Assert.Empty(await second.Rest());
        }
    }

    [Fact]
    public async Task WriteBufferSize_PeerReadsNothingAndThenEverything_CountsWhatTheTransportHasNotAccepted()
    {
        (ByteStreamConnection first, ByteStreamConnection second) = ByteStream.CreatePair();
        await using (first)
        await using (second)
        {
            Assert.Equal(0, first.Writer.WriteBufferSize);
            first.Writer.Write("abc"u8);
            Assert.Equal(3, first.Writer.WriteBufferSize);
            first.Writer.Write(new byte[1 << 20]);
            Assert.InRange(first.Writer.WriteBufferSize, 1, (1 << 20) + 3);

            Assert.Equal((1 << 20) + 3, (await second.Reader.ReadExactlyAsync((1 << 20) + 3, Test).Soon()).Length);
            await Patience.UntilAsync(() => first.Writer.WriteBufferSize == 0);
        }
    }

    [Fact]
    public async Task Abort_Connection_ResetsThePeer()
    {
        (ByteStreamConnection first, ByteStreamConnection second) = ByteStream.CreatePair();
        await using (first)
        await using (second)
        {
            first.Abort();

            await Assert.ThrowsAsync<ConnectionResetException>(second.Rest);
        }
    }

    [Fact]
    [Trait("Contract", "R23")]
    public async Task IncompleteRead_EndBetweenMessagesAndWithinOne_TellsThemApart()
    {
        ByteStreamReader between = Fed("1234"u8);
        between.FeedEof();
        await between.ReadExactlyAsync(4, Test);
        ByteStreamReader within = Fed("123"u8);
        within.FeedEof();

        Assert.True((await Assert.ThrowsAsync<IncompleteReadException>(async () => await between.ReadExactlyAsync(4, Test))).IsCleanEnd);
        Assert.False((await Assert.ThrowsAsync<IncompleteReadException>(async () => await within.ReadExactlyAsync(4, Test))).IsCleanEnd);
    }

    [Fact]
    [Trait("Contract", "S11")]
    public async Task GetConnections_ClientsComeAndGo_ListsTheOpenOnes()
    {
        await using ByteStreamServer server = await ByteStream.StartServerAsync(Given.Echo, "tcp://127.0.0.1:0", cancellationToken: Test);
        Assert.Empty(server.GetConnections());
        await using (ByteStreamConnection client = await ByteStream.OpenConnectionAsync($"tcp://{server.EndPoints[0]}", cancellationToken: Test))
        {
            client.Writer.Write("a\n"u8);
            await client.Line();

            ConnectionContext only = Assert.Single(server.GetConnections());
            Assert.Equal(client.Writer.LocalEndPoint, only.RemoteEndPoint);
        }

        await Patience.UntilAsync(() => server.GetConnections().Count == 0);
    }

    private static ByteStreamReader Fed(ReadOnlySpan<byte> bytes)
    {
        var reader = new ByteStreamReader();
        reader.FeedData(bytes);
        return reader;
    }
}
