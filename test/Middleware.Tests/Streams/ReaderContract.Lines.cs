using System.Buffers;
using System.Text;

namespace ByteStreams.Middleware.Tests.Streams;

/// <content>Lines and messages: R13, R14, and the reads that asyncio does not have.</content>
public abstract partial class ReaderContract
{
    [Fact]
    [Trait("Contract", "R13")]
    public async Task ReadLine_LinesInPieces_ReturnsEachWithItsNewline()
    {
        ReaderSource source = Fed("a", "b\nc");
        Assert.Equal("ab\n", await Get(source.Reader.ReadLineAsync(Test)));
        ValueTask<byte[]> read = source.Reader.ReadLineAsync(Test);
        Assert.False(read.IsCompleted);
        source.Feed("d", "\r", "\n\n", "e");

        Assert.Equal("cd\r\n", await Get(read));
        Assert.Equal("\n", await Get(source.Reader.BorrowLineAsync(Test)));
        Assert.Equal("e", await Get(source.Reader.ReadAsync(9, Test)));
    }

    [Fact]
    [Trait("Contract", "R13")]
    public async Task ReadLine_TheEnd_ReturnsThePartialLineAndThenEmpty()
    {
        ReaderSource source = Fed("ab\nc");
        source.Finish();

        Assert.Equal("ab\n", await Get(source.Reader.ReadLineAsync(Test)));
        Assert.Equal("c", await Get(source.Reader.ReadLineAsync(Test)));
        Assert.Equal("", await Get(source.Reader.ReadLineAsync(Test)));
        Assert.Equal("", await Get(source.Reader.BorrowLineAsync(Test)));
    }

    [Fact]
    [Trait("Contract", "R13")]
    public async Task ReadLine_OverTheLimitWithItsNewline_DiscardsThroughTheNewline()
    {
        ReaderSource source = Make(limit: 3);
        source.Feed("ab", "cd", "e\nfg\n");

        Assert.Equal(5, (await Overruns(source.Reader.ReadLineAsync(Test))).Consumed);
        Assert.Equal("fg\n", await Get(source.Reader.ReadLineAsync(Test)));
    }

    [Fact]
    [Trait("Contract", "R13")]
    [Trait("Fault", "F06")]
    public async Task ReadLine_OverTheLimitWithoutANewline_DiscardsTheWholeBuffer()
    {
        ReaderSource source = Make(limit: 3);
        source.Feed("ab", "cd", "e");

        Assert.Equal(5, (await Overruns(source.Reader.BorrowLineAsync(Test))).Consumed);
        source.Feed("f\n", "gh\n");
        Assert.Equal("f\n", await Get(source.Reader.ReadLineAsync(Test)));
        Assert.Equal("gh\n", await Get(source.Reader.ReadLineAsync(Test)));
    }

    [Fact]
    [Trait("Contract", "R13")]
    public async Task ReadLine_OverTheLimitWhileItWaits_Throws()
    {
        ReaderSource source = Make(limit: 3);
        source.Feed("abc");
        ValueTask<byte[]> read = source.Reader.ReadLineAsync(Test);
        Assert.False(read.IsCompleted);
        source.Feed("d");

        Assert.Equal(4, (await Overruns(read)).Consumed);
        source.Finish();
        Assert.Equal("", await Get(source.Reader.ReadLineAsync(Test)));
    }

    [Fact]
    [Trait("Contract", "R13")]
    public async Task ReadTextLine_LinesOfAnyEnding_StripsIt()
    {
        ReaderSource source = Fed("a\r", "\nb\n\r\n\nc\rd\n", "e\r");
        source.Finish();

        foreach (string line in new[] { "a", "b", "", "", "c\rd", "e\r" })
        {
            Assert.Equal(line, await Get<string?>(source.Reader.ReadTextLineAsync(cancellationToken: Test)));
        }

        Assert.Null(await Get<string?>(source.Reader.ReadTextLineAsync(cancellationToken: Test)));
        Assert.Null(await Get<string?>(source.Reader.ReadTextLineAsync(cancellationToken: Test)));
    }

    [Fact]
    [Trait("Contract", "R13")]
    public async Task ReadTextLine_CharacterSplitAcrossChunks_IsDecodedWhole()
    {
        // "é" is C3 A9 in UTF-8, E9 in Latin-1.
        ReaderSource source = Fed("caf\u00c3");
        ValueTask<string?> read = source.Reader.ReadTextLineAsync(cancellationToken: Test);
        source.Feed("\u00a9\n", "caf\u00e9\n");

        Assert.Equal("café", await Get<string?>(read));
        Assert.Equal("café", await Get<string?>(source.Reader.ReadTextLineAsync(Encoding.Latin1, Test)));
    }

    [Fact]
    [Trait("Contract", "R13")]
    public async Task ReadTextLine_OverTheLimit_DiscardsAsReadLineDoes()
    {
        ReaderSource source = Make(limit: 3);
        source.Feed("abcd\nef\n");

        Assert.Equal(4, (await Overruns(source.Reader.ReadTextLineAsync(null, Test))).Consumed);
        Assert.Equal("ef", await Get<string?>(source.Reader.ReadTextLineAsync(null, Test)));
    }

    [Fact]
    [Trait("Contract", "R14")]
    public async Task Enumerate_Lines_YieldsEachAndStopsAtTheEnd()
    {
        ReaderSource source = Fed("a\n", "\n", "b", "b\nc");
        source.Finish();
        var lines = new List<string>();

        await foreach (byte[] line in source.Reader.WithCancellation(Test))
        {
            lines.Add(Text(line));
        }

        Assert.Equal(["a\n", "\n", "bb\n", "c"], lines);
    }

    [Fact]
    [Trait("Contract", "R14")]
    public async Task Enumerate_LeftInTheMiddle_KeepsTheRest()
    {
        ReaderSource source = Fed("a\nb\nc\n");
        await foreach (byte[] line in source.Reader.WithCancellation(Test))
        {
            Assert.Equal("a\n", Text(line));
            break;
        }

        Assert.Equal("b\n", await Get(source.Reader.ReadLineAsync(Test)));
    }

    [Fact]
    [Trait("Contract", "R14")]
    public async Task Enumerate_Cancelled_LosesNothing()
    {
        ReaderSource source = Fed("a\nb");
        using var cancel = new CancellationTokenSource();
        await using IAsyncEnumerator<byte[]> lines = source.Reader.GetAsyncEnumerator(cancel.Token);
        Assert.True(await lines.MoveNextAsync());
        ValueTask<bool> next = lines.MoveNextAsync();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next.AsTask().WaitAsync(Soon, Test));

        source.Feed("c\n");
        Assert.Equal("bc\n", await Get(source.Reader.ReadLineAsync(Test)));
    }

    [Fact]
    public async Task ReadMessage_FramesInPieces_ReturnsEachWhole()
    {
        ReaderSource source = Fed("\u0003ab", "c\u0000\u0002");
        ByteStreamReader reader = source.Reader;
        Assert.Equal("abc", await Get(reader.ReadMessageAsync<string>(TryParseFrame, Test)));
        Assert.Equal("", await Get(reader.ReadMessageAsync<string>(TryParseFrame, Test)));
        ValueTask<string> read = reader.ReadMessageAsync<string>(TryParseFrame, Test);
        Assert.False(read.IsCompleted);
        source.Feed("d", "e\n");

        Assert.Equal("de", await Get(read));
        Assert.Equal("\n", await Get(reader.ReadLineAsync(Test)));
    }

    [Fact]
    public async Task ReadMessage_TwoOfDifferentTypes_EachIsItsOwn()
    {
        ByteStreamReader reader = Fed("\u0001a\u0001b\u0001c").Reader;

        Assert.Equal("a", await Get(reader.ReadMessageAsync<string>(TryParseFrame, Test)));
        Assert.Equal(1, await Get(reader.ReadMessageAsync<byte>(
            static (ref SequenceReader<byte> input, out byte first) => input.TryRead(out first), Test)));
        Assert.Equal((byte)'b', await Get(reader.ReadMessageAsync<byte>(
            static (ref SequenceReader<byte> input, out byte first) => input.TryRead(out first), Test)));
        Assert.Equal("c", await Get(reader.ReadMessageAsync<string>(TryParseFrame, Test)));
    }

    [Fact]
    public async Task ReadMessage_TheEnd_ThrowsWhatThereWas()
    {
        ReaderSource source = Fed("\u0003ab");
        source.Finish();

        IncompleteReadException error = await Incomplete(source.Reader.ReadMessageAsync<string>(TryParseFrame, Test));

        Assert.Equal(("\u0003ab", null), (Text(error.Partial), error.Expected));
        Assert.Empty((await Incomplete(source.Reader.ReadMessageAsync<string>(TryParseFrame, Test))).Partial);
    }

    [Theory]
    [InlineData("\u0003abc")]
    [InlineData("\u0003ab", "c")]
    [InlineData("\u0003", "a", "b", "c")]
    public async Task ReadMessage_ExactlyTheLimit_IsTakenHoweverItArrives(params string[] chunks)
    {
        ReaderSource source = Make(limit: 4);
        ValueTask<string> read = source.Reader.ReadMessageAsync<string>(TryParseFrame, Test);
        source.Feed(chunks);

        Assert.Equal("abc", await Get(read));
    }

    [Theory]
    [InlineData("\u0004abcd")]
    [InlineData("\u0004ab", "cd")]
    [InlineData("\u0007abcd")]
    public async Task ReadMessage_OverTheLimit_IsRefusedHoweverItArrivesAndTheBufferKept(params string[] chunks)
    {
        ReaderSource source = Make(limit: 4);
        ValueTask<string> read = source.Reader.ReadMessageAsync<string>(TryParseFrame, Test);
        source.Feed(chunks);

        Assert.Equal(5, (await Overruns(read)).Consumed);
        Assert.Equal(string.Concat(chunks), await Get(source.Reader.ReadExactlyAsync(5, Test)));
    }

    [Fact]
    public async Task ReadMessage_ParserThrows_TheReadThrowsItAndNothingIsTaken()
    {
        ByteStreamReader reader = Fed("abc").Reader;

        await Fails<FormatException, string>(reader.ReadMessageAsync<string>(
            static (ref SequenceReader<byte> input, out string _) => throw new FormatException("no frame"), Test));
        await Assert.ThrowsAsync<ArgumentNullException>(() => reader.ReadMessageAsync<string>(null!, Test).AsTask());
        Assert.Equal("abc", await Get(reader.ReadAsync(9, Test)));
    }
}
