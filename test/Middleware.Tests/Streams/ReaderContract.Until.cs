using System.Buffers;

namespace ByteStreams.Middleware.Tests.Streams;

/// <content>Records and their separators: R7 to R12.</content>
public abstract partial class ReaderContract
{
    [Fact]
    [Trait("Contract", "R7")]
    public async Task ReadUntil_SeparatorInTheMiddle_ReturnsThroughSeparator()
    {
        ByteStreamReader reader = Fed("ab--cd--e").Reader;

        Assert.Equal("ab--", await Get(reader.ReadUntilAsync(Bytes("--"), Test)));
        Assert.Equal("cd--", await Get(reader.BorrowUntilAsync(Bytes("--"), Test)));
        Assert.Equal("e", await Get(reader.ReadAsync(9, Test)));
    }

    [Fact]
    [Trait("Contract", "R7")]
    public async Task ReadUntil_SeparatorFirst_ReturnsTheSeparatorAlone()
    {
        ByteStreamReader reader = Fed("--ab").Reader;

        Assert.Equal("--", await Get(reader.ReadUntilAsync(Bytes("--"), Test)));
    }

    [Fact]
    [Trait("Contract", "R7")]
    public async Task ReadUntil_NoSeparatorOrAnEmptyOne_IsRefused()
    {
        ByteStreamReader reader = Fed("abc").Reader;

        await Fails<ArgumentException, byte[]>(reader.ReadUntilAsync(ReadOnlyMemory<byte>.Empty, Test));
        await Fails<ArgumentException, byte[]>(reader.ReadUntilAsync(Separators(), Test));
        await Fails<ArgumentException, byte[]>(reader.ReadUntilAsync(Separators(""), Test));
        await Fails<ArgumentException, byte[]>(reader.ReadUntilAsync(Separators("b", ""), Test));
        await Fails<ArgumentException, byte[]>(reader.ReadUntilAsync((IReadOnlyList<ReadOnlyMemory<byte>>)null!, Test));
        await Fails<ArgumentException, ReadOnlySequence<byte>>(reader.BorrowUntilAsync(Separators("b", "", "c"), Test));
        Assert.Equal("abc", await Get(reader.ReadAsync(9, Test)));
    }

    [Theory]
    [InlineData("\r\n", "abc\r", "\n")]
    [InlineData("\r\n", "a", "b", "c", "\r", "\n")]
    [InlineData("XXYY", "abcX", "XY", "Y")]
    [InlineData("END", "abcEEN", "EN", "END")]
    [InlineData("aab", "aaa", "aa", "b")]
    [Trait("Contract", "R8")]
    public async Task ReadUntil_SeparatorSplitAcrossChunks_ReturnsThroughSeparator(string separator, params string[] chunks)
    {
        string all = string.Concat(chunks);

        // Buffered before the call, and arriving while it waits.
        ReaderSource source = Fed(chunks);
        source.Feed("rest");
        Assert.Equal(all, await Get(source.Reader.ReadUntilAsync(Bytes(separator), Test)));
        Assert.Equal("rest", await Get(source.Reader.ReadAsync(9, Test)));

        source = Make();
        ValueTask<byte[]> read = source.Reader.ReadUntilAsync(Bytes(separator), Test);
        source.Feed(chunks);
        Assert.Equal(all, await Get(read));
    }

    [Fact]
    [Trait("Contract", "R8")]
    public async Task ReadUntil_SeparatorSplitAtEveryByte_IsFoundWhereverTheReadBegins()
    {
        const string record = "xx==x=====y";
        for (int begin = 0; begin <= record.Length; begin++)
        {
            ReaderSource source = Make();
            source.Feed([.. record[..begin].Select(c => c.ToString())]);
            ValueTask<byte[]> read = source.Reader.ReadUntilAsync(Bytes("====="), Test);
            source.Feed([.. record[begin..].Select(c => c.ToString())]);
            Assert.Equal("xx==x=====", await Get(read));
        }
    }

    [Fact]
    [Trait("Contract", "R8")]
    public async Task ReadUntil_OverlappingPrefix_FindsTheWholeSeparator()
    {
        ReaderSource source = Fed("QWEaa");
        ValueTask<byte[]> read = source.Reader.ReadUntilAsync(Bytes("aaa"), Test);
        source.Feed("XYaa", "a");

        Assert.Equal("QWEaaXYaaa", await Get(read));

        source = Fed("QWEaa", "XYaa", "a");
        Assert.Equal("QWEaaXYaaa", await Get(source.Reader.BorrowUntilAsync(Bytes("aaa"), Test)));
    }

    [Fact]
    [Trait("Contract", "R9")]
    public async Task ReadLine_ExactlyTheLimit_IsTaken()
    {
        ReaderSource source = Make(limit: 7);
        source.Feed("1234567\n", "1234567\r\n");

        Assert.Equal("1234567\n", await Get(source.Reader.ReadLineAsync(Test)));
        Assert.Equal("1234567\r\n", await Get(source.Reader.ReadUntilAsync(Bytes("\r\n"), Test)));
    }

    [Fact]
    [Trait("Contract", "R9")]
    public async Task ReadLine_OneMoreThanTheLimit_IsRefused()
    {
        ReaderSource source = Make(limit: 7);
        source.Feed("12345678\n");

        Assert.Equal(8, (await Overruns(source.Reader.ReadLineAsync(Test))).Consumed);
    }

    [Fact]
    [Trait("Contract", "R9")]
    public async Task ReadUntil_ExactlyTheLimitAndItsSeparatorLate_Waits()
    {
        ReaderSource source = Make(limit: 7);
        source.Feed("1234567");
        ValueTask<byte[]> read = source.Reader.ReadUntilAsync(Bytes("--"), Test);
        Assert.False(read.IsCompleted);
        source.Feed("-");
        source.Feed("-");

        Assert.Equal("1234567--", await Get(read));
    }

    [Fact]
    [Trait("Contract", "R10")]
    public async Task ReadUntil_SeparatorFoundAfterTheLimit_KeepsTheBufferAndReportsTheOffset()
    {
        ReaderSource source = Make(limit: 3);
        source.Feed("abcd", "--ef");

        LimitOverrunException error = await Overruns(source.Reader.ReadUntilAsync(Bytes("--"), Test));

        Assert.Equal(4, error.Consumed);
        Assert.Equal(4, (await Overruns(source.Reader.BorrowUntilAsync(Bytes("--"), Test))).Consumed);
        Assert.Equal("abcd", await Get(source.Reader.ReadExactlyAsync(error.Consumed, Test)));
        Assert.Equal("--", await Get(source.Reader.ReadUntilAsync(Bytes("--"), Test)));
        Assert.Equal("ef", await Get(source.Reader.ReadAsync(9, Test)));
    }

    [Fact]
    [Trait("Contract", "R10")]
    public async Task ReadUntil_SeparatorNotFoundWithinTheLimit_KeepsTheBufferAndReportsTheBytesBefore()
    {
        ReaderSource source = Make(limit: 3);
        source.Feed("ab", "cde");

        // The last two of the five bytes may begin a separator of three; of six bytes, four are surely before it.
        ValueTask<byte[]> read = source.Reader.ReadUntilAsync(Bytes("---"), Test);
        Assert.False(read.IsCompleted);
        source.Feed("f");
        LimitOverrunException error = await Overruns(read);

        Assert.Equal(4, error.Consumed);
        Assert.Equal("abcdef", await Get(source.Reader.ReadAsync(9, Test)));
    }

    [Fact]
    [Trait("Contract", "R11")]
    public async Task ReadUntil_TheEndBeforeASeparator_ThrowsEverythingBufferedAndClearsIt()
    {
        ReaderSource source = Fed("ab", "-");
        ValueTask<byte[]> read = source.Reader.ReadUntilAsync(Bytes("--"), Test);
        source.Finish();

        IncompleteReadException error = await Incomplete(read);

        Assert.Equal(("ab-", null), (Text(error.Partial), error.Expected));
        Assert.True(source.Reader.AtEof);
        Assert.Empty((await Incomplete(source.Reader.BorrowUntilAsync(Bytes("--"), Test))).Partial);
    }

    [Fact]
    [Trait("Contract", "R11")]
    public async Task ReadUntil_SeparatorAndEndTogether_FindsTheSeparatorFirst()
    {
        ReaderSource source = Make();
        ValueTask<byte[]> read = source.Reader.ReadUntilAsync(Bytes("--"), Test);
        source.Feed("ab", "--c-");
        source.Finish();

        Assert.Equal("ab--", await Get(read));
        Assert.Equal("c-", Text((await Incomplete(source.Reader.ReadUntilAsync(Bytes("--"), Test))).Partial));
    }

    [Fact]
    [Trait("Contract", "R12")]
    public async Task ReadUntil_SeveralSeparators_TheMatchThatEndsFirstWins()
    {
        ByteStreamReader reader = Fed("a,b;c;d,").Reader;

        Assert.Equal("a,", await Get(reader.ReadUntilAsync(Separators(";", ","), Test)));
        Assert.Equal("b;", await Get(reader.ReadUntilAsync(Separators(";", ","), Test)));
        Assert.Equal("c;", await Get(reader.BorrowUntilAsync(Separators(",", ";"), Test)));
        Assert.Equal("d,", await Get(reader.ReadUntilAsync(Separators(",", ";"), Test)));
    }

    [Fact]
    [Trait("Contract", "R12")]
    public async Task ReadUntil_TheLongerEndsFirst_TheLongerWins()
    {
        // "bcd" begins before "e" and ends before it, although it is the longer one.
        Assert.Equal("abcd", await Get(Fed("ab", "cde").Reader.ReadUntilAsync(Separators("e", "bcd"), Test)));
        Assert.Equal("abcd", await Get(Fed("ab", "cde").Reader.ReadUntilAsync(Separators("bcd", "e"), Test)));

        // "bcde" begins first and ends last.
        Assert.Equal("abcd", await Get(Fed("ab", "cd", "ef").Reader.ReadUntilAsync(Separators("bcde", "d"), Test)));
    }

    [Fact]
    [Trait("Contract", "R12")]
    public async Task ReadUntil_TwoEndAtOneByte_TheShortestDecidesWhatIsBeforeIt()
    {
        // "\n" and "\r\n" end together: what is before the shorter one, "ab\r", is over the limit of two.
        ReaderSource source = Make(limit: 2);
        source.Feed("ab\r\n");

        Assert.Equal(3, (await Overruns(source.Reader.ReadUntilAsync(Separators("\r\n", "\n"), Test))).Consumed);
        Assert.Equal("ab\r\n", await Get(source.Reader.ReadUntilAsync(Separators("\r\n"), Test)));
    }

    [Fact]
    [Trait("Contract", "R12")]
    public async Task ReadUntil_SeveralSeparatorsOverTheLimit_LeavesRoomForTheLongest()
    {
        ReaderSource source = Make(limit: 3);
        source.Feed("abcdef");
        ValueTask<byte[]> read = source.Reader.ReadUntilAsync(Separators("----", ";"), Test);
        Assert.False(read.IsCompleted);
        source.Feed("g");

        Assert.Equal(4, (await Overruns(read)).Consumed);
    }

    [Fact]
    [Trait("Contract", "R12")]
    public async Task ReadUntil_SeparatorsOfOneArray_AreNotReordered()
    {
        ReadOnlyMemory<byte>[] separators = Separators("\r\n", "\n");

        Assert.Equal("a\n", await Get(Fed("a\n").Reader.ReadUntilAsync(separators, Test)));

        Assert.Equal("\r\n", Text(separators[0].Span));
    }
}
