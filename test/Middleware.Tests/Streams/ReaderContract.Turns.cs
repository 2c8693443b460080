using System.Buffers;

namespace ByteStreams.Middleware.Tests.Streams;

/// <content>Two reads at once, and reads that are cancelled: R17, R18.</content>
public abstract partial class ReaderContract
{
    [Fact]
    [Trait("Contract", "R17")]
    [Trait("Fault", "F15")]
    public async Task Read_WhileAnotherWaits_FailsNamingBothAndTakesNothing()
    {
        // "aa" answers none of these reads; "\u0009" would be a frame's length, and more than there is.
        foreach ((string first, Func<ByteStreamReader, CancellationToken, Task> begin) in EveryRead())
        {
            foreach ((string second, Func<ByteStreamReader, CancellationToken, Task> collide) in EveryRead())
            {
                ReaderSource source = Make();
                Task waiting = begin(source.Reader, Test);
                Assert.False(waiting.IsCompleted);

                var error = await Assert.ThrowsAsync<InvalidOperationException>(() => collide(source.Reader, Test).WaitAsync(Soon, Test));

                Assert.Matches($@"\b{second}\b.*\b{first}\b", error.Message);
                Assert.False(waiting.IsCompleted);
                source.Feed("\u0009aaaaaaaaa#\n", new string('x', 50));
                source.Finish();
                await waiting.WaitAsync(Soon, Test);
            }
        }
    }

    [Fact]
    [Trait("Contract", "R17")]
    public async Task Read_SecondThatMustWait_NeitherLosesNorDoublesAByte()
    {
        ReaderSource source = Fed("ab");
        ValueTask<byte[]> first = source.Reader.ReadLineAsync(Test);

        await Fails<InvalidOperationException, byte[]>(source.Reader.ReadExactlyAsync(3, Test));
        await Fails<InvalidOperationException, ReadOnlySequence<byte>>(source.Reader.BorrowLineAsync(Test));
        source.Feed("c\nd");

        Assert.Equal("abc\n", await Get(first));
        Assert.Equal("d", await Get(source.Reader.ReadAsync(9, Test)));
    }

    [Fact]
    [Trait("Contract", "R17")]
    public async Task Read_SecondThatTheBufferAnswers_IsAnsweredAndTheFirstGoesOn()
    {
        ReaderSource source = Fed("abcd");
        ValueTask<byte[]> first = source.Reader.ReadLineAsync(Test);

        Assert.Equal("ab", await Get(source.Reader.ReadExactlyAsync(2, Test)));
        Assert.Equal("c", await Get(source.Reader.ReadAsync(1, Test)));
        Assert.False(first.IsCompleted);
        source.Feed("e", "\nf\n");

        Assert.Equal("de\n", await Get(first));
        Assert.Equal("f\n", await Get(source.Reader.ReadLineAsync(Test)));
    }

    [Fact]
    [Trait("Contract", "R17")]
    public async Task Read_SecondTakesAllThatTheFirstHadSearched_TheFirstSearchesWhatComes()
    {
        ReaderSource source = Fed("ab-");
        ValueTask<byte[]> first = source.Reader.ReadUntilAsync(Bytes("--"), Test);

        Assert.Equal("ab-", await Get(source.Reader.ReadAsync(9, Test)));
        source.Feed("-", "-", "c");

        Assert.Equal("--", await Get(first));
        Assert.Equal("c", await Get(source.Reader.ReadAsync(9, Test)));
    }

    [Fact]
    [Trait("Contract", "R17")]
    public async Task ReadUntil_SecondReadTakesTheStartOfASeparator_FindsOnlyAWholeOne()
    {
        ReaderSource source = Fed("xab");
        ValueTask<byte[]> first = source.Reader.ReadUntilAsync(Separators("abc", "#1", "#2", "#3", "#4"), Test);

        Assert.Equal("xa", await Get(source.Reader.ReadAsync(2, Test)));
        source.Feed("c-abc");

        Assert.Equal("bc-abc", await Get(first));
    }

    [Fact]
    [Trait("Contract", "R17")]
    public async Task Read_SecondTakesAllAndThenTheEnd_TheFirstSeesTheEnd()
    {
        ReaderSource source = Fed("ab");
        ValueTask<byte[]> first = source.Reader.ReadExactlyAsync(5, Test);

        Assert.Equal("ab", await Get(source.Reader.ReadAsync(9, Test)));
        source.Finish();

        Assert.Empty((await Incomplete(first)).Partial);
        Assert.True(source.Reader.AtEof);
    }

    [Fact]
    [Trait("Contract", "R17")]
    public async Task Borrow_WhileAnotherWaits_FailsEvenWhereTheBufferWouldDo()
    {
        // What is borrowed is valid until the next call; a waiting read makes its next call whenever bytes arrive.
        ReaderSource source = Fed("ab");
        ValueTask<byte[]> first = source.Reader.ReadLineAsync(Test);

        var error = await Fails<InvalidOperationException, ReadOnlySequence<byte>>(source.Reader.BorrowAsync(Test));

        Assert.Contains("BorrowAsync", error.Message, StringComparison.Ordinal);
        source.Feed("\n");
        Assert.Equal("ab\n", await Get(first));
    }

    [Fact]
    [Trait("Contract", "R18")]
    public async Task Read_CancelledWhileItWaits_LosesNothingAndTheNextGoesOn()
    {
        foreach ((string name, Func<ByteStreamReader, CancellationToken, Task> read) in EveryRead())
        {
            bool anyByteAnswers = name is "ReadAsync" or "BorrowAsync";
            ReaderSource source = Fed("\u0009a", "b");
            string rest = "\u0009ab";
            if (anyByteAnswers)
            {
                Assert.Equal(rest, await Get(source.Reader.ReadAsync(9, Test)));
                rest = "";
            }

            using var cancel = new CancellationTokenSource();
            Task waiting = read(source.Reader, cancel.Token);
            Assert.False(waiting.IsCompleted);
            await cancel.CancelAsync();
            var error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(Soon, Test));
            Assert.True(error is { CancellationToken.IsCancellationRequested: true }, name);

            source.Feed("c\nd");
            Assert.Equal(rest + "c\n", await Get(source.Reader.ReadLineAsync(Test)));
            Assert.Equal("d", await Get(source.Reader.ReadAsync(9, Test)));
        }
    }

    [Fact]
    [Trait("Contract", "R18")]
    public async Task Read_CancelledAgainAndAgain_GoesOnWithOtherReads()
    {
        ReaderSource source = Fed("ab", "cd");
        ByteStreamReader reader = source.Reader;
        await Cancel(token => reader.ReadLineAsync(token).AsTask());
        Assert.Equal("a", await Get(reader.ReadAsync(1, Test)));
        await Cancel(token => reader.ReadExactlyAsync(9, token).AsTask());
        Assert.Equal("b", await Get(reader.BorrowExactlyAsync(1, Test)));
        await Cancel(token => reader.BorrowUntilAsync(Bytes("--"), token).AsTask());
        source.Feed("e-");
        await Cancel(token => reader.ReadAsync(-1, token).AsTask());
        source.Feed("-f");
        Assert.Equal("cde--", await Get(reader.ReadUntilAsync(Bytes("--"), Test)));
        source.Finish();
        await CancelledBefore();
        Assert.Equal("f", await Get(reader.ReadAsync(-1, Test)));
        Assert.True(reader.AtEof);

        async Task Cancel(Func<CancellationToken, Task> read)
        {
            using var cancel = new CancellationTokenSource();
            Task waiting = read(cancel.Token);
            await cancel.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(Soon, Test));
        }

        async Task CancelledBefore() => await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => reader.ReadAsync(-1, new CancellationToken(canceled: true)).AsTask());
    }

    [Fact]
    [Trait("Contract", "R18")]
    public async Task Read_CancelledAndThenTheEnd_KeepsWhatWasBuffered()
    {
        ReaderSource source = Fed("ab");
        using var cancel = new CancellationTokenSource();
        Task waiting = source.Reader.ReadLineAsync(cancel.Token).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(Soon, Test));
        source.Finish();

        Assert.Equal("ab", Text((await Incomplete(source.Reader.ReadExactlyAsync(9, Test))).Partial));
    }

    [Fact]
    [Trait("Contract", "R18")]
    public async Task SetException_AfterACancel_IsThrownByTheNextRead()
    {
        ReaderSource source = Fed("ab");
        using var cancel = new CancellationTokenSource();
        Task waiting = source.Reader.ReadLineAsync(cancel.Token).AsTask();
        await cancel.CancelAsync();
        var stored = new IOException("gone");

        source.Reader.SetException(stored);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(Soon, Test));
        Assert.Same(stored, await Fails<IOException, byte[]>(source.Reader.ReadLineAsync(Test)));
    }

    [Fact]
    public async Task Borrow_UntilTheNextCall_IsNotOverwritten()
    {
        ReaderSource source = Fed("ab\nc");
        ReadOnlySequence<byte> line = await source.Reader.BorrowLineAsync(Test);
        source.Feed("d", "e\n");

        Assert.Equal("ab\n", Text(line.ToArray()));
        Assert.Equal("cde\n", await Get(source.Reader.BorrowLineAsync(Test)));
    }
}
