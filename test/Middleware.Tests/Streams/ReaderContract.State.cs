namespace ByteStreams.Middleware.Tests.Streams;

/// <content>What the reader knows besides its bytes: R1, R5, R15, R20.</content>
public abstract partial class ReaderContract
{
    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [Trait("Contract", "R1")]
    public void Make_LimitOfZeroOrLess_IsRefused(int limit) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Make(limit));

    [Fact]
    [Trait("Contract", "R1")]
    public void Make_AnyLimitAboveZero_IsKept()
    {
        Assert.Equal(1, Make(limit: 1).Reader.Limit);
        Assert.Equal(int.MaxValue, Make(limit: int.MaxValue).Reader.Limit);
    }

    [Fact]
    [Trait("Contract", "R5")]
    public async Task Read_StoredException_WinsOverBufferedBytesInEveryRead()
    {
        ReaderSource source = Fed("a\nb#\ncd");
        Assert.Equal("a\n", await Get(source.Reader.ReadLineAsync(Test)));
        var stored = new InvalidDataException("bad");
        Assert.Null(source.Reader.Exception);
        source.Reader.SetException(stored);

        Assert.Same(stored, source.Reader.Exception);
        foreach ((string name, Func<ByteStreamReader, CancellationToken, Task> read) in EveryRead())
        {
            Exception? thrown = await Record.ExceptionAsync(() => read(source.Reader, Test).WaitAsync(Soon, Test));
            Assert.True(ReferenceEquals(stored, thrown), name);
        }

        await Assert.ThrowsAsync<InvalidDataException>(async () =>
        {
            await foreach (byte[] _ in source.Reader)
            {
            }
        });
        Assert.Equal("<ByteStreamReader 5 bytes exception=InvalidDataException('bad')>", source.Reader.ToString());
    }

    [Fact]
    [Trait("Contract", "R5")]
    public async Task Read_ExceptionWhileItWaits_ThrowsItAndKeepsTheBuffer()
    {
        foreach ((string name, Func<ByteStreamReader, CancellationToken, Task> read) in EveryRead().Where(r => r.Name is not "BorrowAsync"))
        {
            // ReadAsync(5) would be answered by any byte.
            string buffered = name is "ReadAsync" ? "" : "9b";
            ReaderSource source = Fed(buffered);
            Task waiting = read(source.Reader, Test);
            Assert.False(waiting.IsCompleted);
            var stored = new IOException("gone");

            source.Reader.SetException(stored);

            Assert.Same(stored, await Record.ExceptionAsync(() => waiting.WaitAsync(Soon, Test)));
            Assert.StartsWith(buffered.Length > 0 ? "<ByteStreamReader 2 bytes" : "<ByteStreamReader exc", source.Reader.ToString(), StringComparison.Ordinal);
        }
    }

    [Fact]
    [Trait("Contract", "R5")]
    public void SetException_Null_IsRefused() =>
        Assert.Throws<ArgumentNullException>(() => Make().Reader.SetException(null!));

    [Fact]
    [Trait("Contract", "R15")]
    public async Task AtEof_BufferedBytes_IsFalseUntilTheyAreRead()
    {
        ReaderSource source = Fed("ab");
        Assert.False(source.Reader.AtEof);
        Assert.Equal("a", await Get(source.Reader.ReadAsync(1, Test)));
        source.Finish();
        Assert.False(source.Reader.AtEof);
        Assert.Equal("b", await Get(source.Reader.ReadAsync(-1, Test)));
        Assert.True(source.Reader.AtEof);
    }

    [Fact]
    [Trait("Contract", "R15")]
    public async Task AtEof_NothingBufferedAndNoEnd_IsFalse()
    {
        ReaderSource source = Fed("a");
        Assert.Equal("a", await Get(source.Reader.ReadAsync(1, Test)));

        Assert.False(source.Reader.AtEof);
        source.Finish();
        Assert.Equal("", await Get(source.Reader.ReadAsync(1, Test)));
        Assert.True(source.Reader.AtEof);
    }

    [Fact]
    [Trait("Contract", "R20")]
    public async Task ToString_EveryState_ShowsWhatPythonShows()
    {
        ReaderSource source = Make();
        Assert.Equal("<ByteStreamReader>", source.Reader.ToString());

        source = Make(limit: 7);
        Assert.Equal("<ByteStreamReader limit=7>", source.Reader.ToString());
        source.Feed("ab\ncd");
        Assert.Equal("ab\n", await Get(source.Reader.ReadLineAsync(Test)));
        Assert.Equal("<ByteStreamReader 2 bytes limit=7>", source.Reader.ToString());

        ValueTask<byte[]> waiting = source.Reader.ReadLineAsync(Test);
        Assert.Equal("<ByteStreamReader 2 bytes limit=7 waiter=<ReadLineAsync waiting>>", source.Reader.ToString());
        source.Feed("e\nf");
        Assert.Equal("cde\n", await Get(waiting));

        source.Finish();
        Assert.Equal("", await Get(source.Reader.ReadAsync(0, Test)));
        Assert.Equal("f", Text((await Incomplete(source.Reader.ReadExactlyAsync(9, Test))).Partial));
        Assert.Equal("<ByteStreamReader eof limit=7>", source.Reader.ToString());

        source.Reader.SetException(new IOException("gone"));
        Assert.Equal("<ByteStreamReader eof limit=7 exception=IOException('gone')>", source.Reader.ToString());
    }
}
