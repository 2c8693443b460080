using System.Buffers;

namespace ByteStreams.Middleware.Tests.Streams;

/// <content>Some bytes, all bytes, exactly n bytes: R2, R3, R4, R6.</content>
public abstract partial class ReaderContract
{
    [Fact]
    [Trait("Contract", "R2")]
    public async Task Read_ZeroBytesOfNothing_CompletesAtOnce()
    {
        ByteStreamReader reader = Make().Reader;
        Task[] reads =
        [
            reader.ReadAsync(0, Test).AsTask(),
            reader.ReadExactlyAsync(0, Test).AsTask(),
            reader.ReadAsync(Memory<byte>.Empty, Test).AsTask(),
            reader.ReadExactlyAsync(Memory<byte>.Empty, Test).AsTask(),
            reader.BorrowExactlyAsync(0, Test).AsTask(),
        ];

        Assert.All(reads, read => Assert.True(read.IsCompletedSuccessfully));
        Assert.Empty(await (Task<byte[]>)reads[0]);
        Assert.Empty(await (Task<byte[]>)reads[1]);
        Assert.Equal(0, await (Task<int>)reads[2]);
        Assert.True((await (Task<ReadOnlySequence<byte>>)reads[4]).IsEmpty);
    }

    [Fact]
    [Trait("Contract", "R2")]
    public async Task Read_ZeroBytesOfSome_LeavesTheBuffer()
    {
        ByteStreamReader reader = Fed("abc").Reader;
        Assert.Equal("a", await Get(reader.ReadAsync(1, Test)));

        Assert.Equal("", await Get(reader.ReadAsync(0, Test)));
        Assert.Equal("", await Get(reader.ReadExactlyAsync(0, Test)));
        Assert.Equal("bc", await Get(reader.ReadAsync(9, Test)));
    }

    [Fact]
    [Trait("Contract", "R2")]
    public async Task Read_ZeroBytesWithStoredException_ThrowsIt()
    {
        ByteStreamReader reader = Fed("abc").Reader;
        var stored = new IOException("gone");
        reader.SetException(stored);

        Assert.Same(stored, await Fails<IOException, byte[]>(reader.ReadAsync(0, Test)));
        Assert.Same(stored, await Fails<IOException, byte[]>(reader.ReadExactlyAsync(0, Test)));
    }

    [Fact]
    [Trait("Contract", "R3")]
    public async Task Read_MoreThanIsThere_ReturnsWhatIsThere()
    {
        ByteStreamReader reader = Fed("ab", "c").Reader;

        string got = await Get(reader.ReadAsync(100, Test));

        Assert.Equal("abc", got);
    }

    [Fact]
    [Trait("Contract", "R3")]
    public async Task Read_LessThanIsThere_ReturnsExactlySoMuchAndKeepsTheRest()
    {
        ByteStreamReader reader = Fed("ab", "cd", "e").Reader;

        Assert.Equal("abc", await Get(reader.ReadAsync(3, Test)));
        Assert.Equal("d", await Get(reader.ReadAsync(1, Test)));
        Assert.Equal("e", await Get(reader.ReadAsync(5, Test)));
    }

    [Fact]
    [Trait("Contract", "R3")]
    public async Task Read_NothingThere_WaitsForTheFirstBytes()
    {
        ReaderSource source = Make();
        ValueTask<byte[]> read = source.Reader.ReadAsync(100, Test);
        Assert.False(read.IsCompleted);

        source.Feed("x");

        Assert.Equal("x", await Get(read));
    }

    [Fact]
    [Trait("Contract", "R3")]
    public async Task Read_MoreThanTheLimit_IsNotBoundByIt()
    {
        ReaderSource source = Make(limit: 3);
        source.Feed("abcdefgh");

        Assert.Equal("abcdefgh", await Get(source.Reader.ReadAsync(100, Test)));
    }

    [Fact]
    [Trait("Contract", "R3")]
    public async Task Read_TheEnd_ReturnsEmptyOnlyAfterTheLastByte()
    {
        ReaderSource source = Fed("ab");
        source.Finish();

        Assert.Equal("a", await Get(source.Reader.ReadAsync(1, Test)));
        Assert.Equal("b", await Get(source.Reader.ReadAsync(7, Test)));
        Assert.Equal("", await Get(source.Reader.ReadAsync(7, Test)));
        Assert.Equal("", await Get(source.Reader.ReadAsync(7, Test)));
    }

    [Fact]
    [Trait("Contract", "R3")]
    public async Task ReadIntoMemory_SomeBytes_FillsTheHeadOfIt()
    {
        ReaderSource source = Fed("ab", "cde");
        byte[] buffer = Bytes("........");

        Assert.Equal(4, await Get(source.Reader.ReadAsync(buffer.AsMemory(1, 4), Test)));
        Assert.Equal(".abcd...", Text(buffer));
        Assert.Equal(1, await Get(source.Reader.ReadAsync(buffer.AsMemory(), Test)));
        Assert.Equal("eabcd...", Text(buffer));
        source.Finish();
        Assert.Equal(0, await Get(source.Reader.ReadAsync(buffer.AsMemory(), Test)));
    }

    [Fact]
    [Trait("Contract", "R3")]
    public async Task Borrow_SomeBytes_LendsAllThatAreBuffered()
    {
        ReaderSource source = Fed("ab", "c");

        Assert.Equal("abc", await Get(source.Reader.BorrowAsync(Test)));
        ValueTask<ReadOnlySequence<byte>> next = source.Reader.BorrowAsync(Test);
        Assert.False(next.IsCompleted);
        source.Feed("d");
        Assert.Equal("d", await Get(next));
        source.Finish();
        Assert.Equal("", await Get(source.Reader.BorrowAsync(Test)));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(-7)]
    [Trait("Contract", "R4")]
    public async Task Read_ANegativeNumber_ReadsToTheEnd(int n)
    {
        ReaderSource source = Make(limit: 2);
        source.Feed("ab", "\n");
        ValueTask<byte[]> read = source.Reader.ReadAsync(n, Test);
        source.Feed("cdefg", "h");
        Assert.False(read.IsCompleted);

        source.Finish();

        Assert.Equal("ab\ncdefgh", await Get(read));
        Assert.Equal("", await Get(source.Reader.ReadAsync(n, Test)));
    }

    [Fact]
    [Trait("Contract", "R6")]
    public async Task ReadExactly_BytesInPieces_ReturnsExactlyThose()
    {
        ReaderSource source = Fed("ab");
        ValueTask<byte[]> read = source.Reader.ReadExactlyAsync(5, Test);
        source.Feed("c", "def");

        Assert.Equal("abcde", await Get(read));
        Assert.Equal("f", await Get(source.Reader.ReadAsync(9, Test)));
    }

    [Fact]
    [Trait("Contract", "R6")]
    public async Task ReadExactly_ANegativeNumber_IsRefusedAndTheBufferKept()
    {
        ByteStreamReader reader = Fed("abc").Reader;

        await Fails<ArgumentOutOfRangeException, byte[]>(reader.ReadExactlyAsync(-1, Test));
        Assert.Equal("abc", await Get(reader.ReadAsync(9, Test)));

        reader.SetException(new IOException("gone"));
        await Fails<ArgumentOutOfRangeException, ReadOnlySequence<byte>>(reader.BorrowExactlyAsync(-1, Test));
    }

    [Fact]
    [Trait("Contract", "R6")]
    public async Task ReadExactly_AnEarlyEnd_ThrowsWhatThereWasAndClearsTheBuffer()
    {
        ReaderSource source = Fed("ab", "c");
        ValueTask<byte[]> read = source.Reader.ReadExactlyAsync(5, Test);
        source.Feed("d");
        source.Finish();

        IncompleteReadException error = await Incomplete(read);

        Assert.Equal(("abcd", 5), (Text(error.Partial), error.Expected));
        Assert.IsType<EndOfStreamException>(error, exactMatch: false);
        Assert.True(source.Reader.AtEof);
        error = await Incomplete(source.Reader.ReadExactlyAsync(1, Test));
        Assert.Equal(("", 1), (Text(error.Partial), error.Expected));
    }

    [Fact]
    [Trait("Contract", "R6")]
    public async Task ReadExactlyIntoMemory_BytesInPieces_FillsIt()
    {
        ReaderSource source = Fed("ab");
        byte[] buffer = Bytes("......");
        ValueTask read = source.Reader.ReadExactlyAsync(buffer.AsMemory(1, 4), Test);
        Assert.False(read.IsCompleted);
        source.Feed("c", "de");
        await read.AsTask().WaitAsync(Soon, Test);

        Assert.Equal(".abcd.", Text(buffer));
        await source.Reader.ReadExactlyAsync(buffer.AsMemory(0, 1), Test).AsTask().WaitAsync(Soon, Test);
        Assert.Equal("eabcd.", Text(buffer));
    }

    [Fact]
    [Trait("Contract", "R6")]
    public async Task ReadExactlyIntoMemory_AnEarlyEnd_ThrowsWhatThereWasAndLeavesTheMemory()
    {
        ReaderSource source = Fed("ab");
        source.Finish();
        byte[] buffer = Bytes("...");

        IncompleteReadException error = await Assert.ThrowsAsync<IncompleteReadException>(
            () => source.Reader.ReadExactlyAsync(buffer.AsMemory(), Test).AsTask().WaitAsync(Soon, Test));

        Assert.Equal(("ab", 3, "..."), (Text(error.Partial), error.Expected, Text(buffer)));
    }

    [Theory]
    [InlineData(1 << 20)]
    [InlineData((1 << 20) + 1)]
    [InlineData(5_000_001)]
    [Trait("Contract", "R6")]
    public async Task ReadExactly_MoreThanEveryBufferSetting_Works(int n)
    {
        ReaderSource source = Make();
        byte[] data = new byte[n + 3];
        new Random(6).NextBytes(data);
        Task feeding = source.FeedAllAsync(data);

        byte[] read = await Get<byte[]>(source.Reader.ReadExactlyAsync(n, Test));

        Assert.True(data.AsSpan(0, n).SequenceEqual(read));
        await feeding.WaitAsync(Soon, Test);
        Assert.Equal(data[n..], await Get<byte[]>(source.Reader.ReadExactlyAsync(3, Test)));
    }

    [Fact]
    [Trait("Contract", "R6")]
    public async Task BorrowExactly_MoreThanEveryBufferSetting_Works()
    {
        ReaderSource source = Make();
        byte[] data = new byte[1 << 20];
        new Random(7).NextBytes(data);
        Task feeding = source.FeedAllAsync(data);

        var read = await Get<ReadOnlySequence<byte>>(source.Reader.BorrowExactlyAsync(data.Length, Test));

        Assert.True(read.ToArray().AsSpan().SequenceEqual(data));
        await feeding.WaitAsync(Soon, Test);
    }
}
