using System.Buffers;

namespace ByteStreams.Middleware.Tests.Streams;

/// <content>Batches: one wait, and then Try calls on what is buffered.</content>
public abstract partial class ReaderContract
{
    [Fact]
    [Trait("Contract", "R14")]
    public async Task TryReadLine_SeveralLinesInOneWait_ReturnsEachAndThenNone()
    {
        ReaderSource source = Fed("ab\ncd\r\n\ne");
        ByteStreamReader reader = source.Reader;

        Assert.True(await Get(reader.WaitToReadAsync(Test)));
        Assert.Equal(["ab\n", "cd\r\n", "\n"], Lines(reader));
        ValueTask<bool> wait = reader.WaitToReadAsync(Test);
        Assert.False(wait.IsCompleted);
        source.Feed("f\ng");

        Assert.True(await Get(wait));
        Assert.Equal(["ef\n"], Lines(reader));
        source.Finish();
        Assert.True(await Get(reader.WaitToReadAsync(Test)));
        Assert.Equal(["g"], Lines(reader));
        Assert.False(await Get(reader.WaitToReadAsync(Test)));
        Assert.Empty(Lines(reader));
        Assert.True(reader.AtEof);
    }

    [Fact]
    [Trait("Contract", "R8")]
    [Trait("Contract", "R12")]
    public async Task TryReadUntil_SeparatorInParts_IsFound()
    {
        foreach (string[] separators in new[] { ["aaa"], new[] { "aaa", "##" }, ["aaa", "#1", "#2", "#3", "#4"] })
        {
            ReaderSource source = Fed("QWEaa");
            Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));
            Assert.Null(Until(source.Reader, separators));
            source.Feed("XYaa");
            Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));
            Assert.Null(Until(source.Reader, separators));
            source.Feed("ab");
            Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));

            Assert.Equal("QWEaaXYaaa", Until(source.Reader, separators));
            Assert.Null(Until(source.Reader, separators));
            Assert.Equal("b", await Get(source.Reader.ReadAsync(9, Test)));
        }
    }

    [Fact]
    public async Task TryReadUntil_OtherSeparatorsThanBefore_SearchesFromTheStart()
    {
        ReaderSource source = Fed("a;b,c-d");
        ByteStreamReader reader = source.Reader;
        byte[] changed = Bytes("!");
        Assert.True(await Get(reader.WaitToReadAsync(Test)));

        Assert.False(reader.TryReadUntil(changed, out _));
        changed[0] = (byte)';';
        Assert.True(reader.TryReadUntil(changed, out ReadOnlySequence<byte> record));
        Assert.Equal("a;", Text(record.ToArray()));
        Assert.Null(Until(reader, "!", "!!"));
        Assert.Equal("b,", Until(reader, "!!", ","));
        Assert.Null(Until(reader, "1", "2", "3", "4", "5"));
        Assert.Equal("c-", Until(reader, "1", "2", "3", "4", "-"));
    }

    [Fact]
    public async Task TryReadUntil_AnotherReadTookWhatWasSearched_SearchesTheRest()
    {
        foreach (string[] separators in new[] { ["abc"], new[] { "abc", "##" }, ["abc", "#1", "#2", "#3", "#4"] })
        {
            ReaderSource source = Fed("xab");
            Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));
            Assert.Null(Until(source.Reader, separators));
            Assert.Equal("xa", await Get(source.Reader.ReadAsync(2, Test)));
            source.Feed("c-abc");
            Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));

            Assert.Equal("bc-abc", Until(source.Reader, separators));
        }
    }

    [Fact]
    [Trait("Contract", "R7")]
    [Trait("Contract", "R6")]
    public async Task Try_WrongArguments_AreReportedAndTheBufferIsKept()
    {
        ReaderSource source = Fed("ab");
        ByteStreamReader reader = source.Reader;
        Assert.True(await Get(reader.WaitToReadAsync(Test)));

        Assert.Throws<ArgumentException>("separator", () => reader.TryReadUntil(ReadOnlyMemory<byte>.Empty, out _));
        Assert.Throws<ArgumentException>("separators", () => reader.TryReadUntil(Separators(), out _));
        Assert.Throws<ArgumentException>("separators", () => reader.TryReadUntil((IReadOnlyList<ReadOnlyMemory<byte>>)null!, out _));
        Assert.Throws<ArgumentException>("separator", () => reader.TryReadUntil(Separators("a", ""), out _));
        Assert.Throws<ArgumentException>("separator", () => reader.TryReadUntil(Separators("a", "b", "c", "d", ""), out _));
        Assert.Throws<ArgumentOutOfRangeException>("n", () => reader.TryReadExactly(-1, out _));
        Assert.Throws<ArgumentNullException>("parser", () => reader.TryReadMessage<string>(null!, out _));
        Assert.Equal("ab", await Get(reader.ReadAsync(9, Test)));
    }

    [Fact]
    [Trait("Contract", "R6")]
    public async Task TryReadExactly_BytesInParts_ReturnsThemWhenAllAreThere()
    {
        ReaderSource source = Fed("ab");
        ByteStreamReader reader = source.Reader;
        Assert.True(reader.TryReadExactly(0, out ReadOnlySequence<byte> bytes));
        Assert.True(bytes.IsEmpty);
        Assert.True(await Get(reader.WaitToReadAsync(Test)));
        Assert.False(reader.TryReadExactly(4, out _));
        source.Feed("cde");
        Assert.True(await Get(reader.WaitToReadAsync(Test)));

        Assert.True(reader.TryReadExactly(4, out bytes));
        Assert.Equal("abcd", Text(bytes.ToArray()));
        Assert.False(reader.TryReadExactly(2, out _));
        Assert.True(reader.TryReadExactly(1, out bytes));
        Assert.Equal("e", Text(bytes.ToArray()));
    }

    [Fact]
    [Trait("Contract", "R6")]
    [Trait("Contract", "R11")]
    public async Task Try_TheEndWithinAMessage_IsIncompleteAndThenTheEnd()
    {
        (Action<ByteStreamReader> Try, int? Expected)[] calls =
        [
            (reader => reader.TryReadExactly(9, out _), 9),
            (reader => reader.TryReadUntil(Bytes("#"), out _), null),
            (reader => reader.TryReadUntil(Separators("#", "##"), out _), null),
            (reader => reader.TryReadMessage<string>(TryParseFrame, out _), null),
        ];
        foreach ((Action<ByteStreamReader> call, int? expected) in calls)
        {
            ReaderSource source = Fed("\u0009a");
            source.Finish();
            // The first wait may end before the end was received.
            Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));
            IncompleteReadException error = await Assert.ThrowsAsync<IncompleteReadException>(async () =>
            {
                call(source.Reader);
                Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));
                call(source.Reader);
            });

            Assert.Equal("\u0009a", Text(error.Partial));
            Assert.Equal(expected, error.Expected);
            Assert.False(await Get(source.Reader.WaitToReadAsync(Test)));
            call(source.Reader);
        }
    }

    [Fact]
    [Trait("Contract", "R9")]
    [Trait("Contract", "R10")]
    [Trait("Contract", "R13")]
    public async Task Try_OverTheLimit_OverrunsAsTheReadThatWaits()
    {
        ReaderSource source = Make(limit: 3);
        ByteStreamReader reader = source.Reader;
        source.Feed("abcd\nabc\nabcde");
        Assert.True(await Get(reader.WaitToReadAsync(Test)));

        Assert.Equal(4, Assert.Throws<LimitOverrunException>(() => reader.TryReadLine(out _)).Consumed);
        Assert.Equal(["abc\n"], new[] { Line(reader) });
        Assert.Equal(4, Assert.Throws<LimitOverrunException>(() => reader.TryReadUntil(Bytes("e"), out _)).Consumed);
        Assert.Equal(4, Assert.Throws<LimitOverrunException>(() => reader.TryReadUntil(Bytes("##"), out _)).Consumed);
        // The second search must not take the "e" that the first one found, and the "a" at the start of the buffer, for "ea".
        ReadOnlyMemory<byte>[] many = Separators("#1", "#2", "#3", "ea", "e");
        Assert.Equal(4, Assert.Throws<LimitOverrunException>(() => reader.TryReadUntil(many, out _)).Consumed);
        Assert.Equal(4, Assert.Throws<LimitOverrunException>(() => reader.TryReadUntil(many, out _)).Consumed);
        Assert.Equal(5, Assert.Throws<LimitOverrunException>(() => reader.TryReadMessage<string>(TryParseFrame, out _)).Consumed);
        Assert.True(reader.TryReadExactly(5, out ReadOnlySequence<byte> bytes));
        Assert.Equal("abcde", Text(bytes.ToArray()));
        source.Feed("abcd");
        Assert.True(await Get(reader.WaitToReadAsync(Test)));
        Assert.Equal(4, Assert.Throws<LimitOverrunException>(() => reader.TryReadLine(out _)).Consumed);
        source.Feed("\n");
        Assert.True(await Get(reader.WaitToReadAsync(Test)));
        Assert.Equal("\n", Line(reader));
    }

    [Fact]
    public async Task TryReadMessage_MessagesInParts_ReturnsEach()
    {
        ReaderSource source = Fed("\u0002ab\u0003c");
        ByteStreamReader reader = source.Reader;
        Assert.True(await Get(reader.WaitToReadAsync(Test)));

        Assert.True(reader.TryReadMessage<string>(TryParseFrame, out string? frame));
        Assert.Equal("ab", frame);
        Assert.False(reader.TryReadMessage<string>(TryParseFrame, out _));
        source.Feed("de");
        Assert.True(await Get(reader.WaitToReadAsync(Test)));
        Assert.True(reader.TryReadMessage<string>(TryParseFrame, out frame));
        Assert.Equal("cde", frame);
        Assert.False(reader.TryReadMessage<string>(TryParseFrame, out _));
    }

    [Fact]
    public async Task TryReadMessage_ParserThrows_KeepsTheBufferAndTheReaderWorks()
    {
        ReaderSource source = Fed("ab\n");
        Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));

        Assert.Throws<InvalidDataException>(() => source.Reader.TryReadMessage<string>(
            (ref SequenceReader<byte> input, out string message) => throw new InvalidDataException(message = "no"), out _));

        Assert.Equal("ab\n", Line(source.Reader));
    }

    [Fact]
    [Trait("Contract", "R5")]
    public async Task Try_StoredException_IsThrownAndTheBufferIsKept()
    {
        ReaderSource source = Fed("ab\n");
        ByteStreamReader reader = source.Reader;
        Assert.True(await Get(reader.WaitToReadAsync(Test)));
        var stored = new IOException("gone");
        reader.SetException(stored);

        foreach (Action call in EveryTry(reader).Select(call => call.Try))
        {
            Assert.Same(stored, Assert.Throws<IOException>(call));
        }

        Assert.Same(stored, await Fails<IOException, bool>(reader.WaitToReadAsync(Test)));
        Assert.True(reader.HasBuffered);
    }

    [Fact]
    [Trait("Contract", "R17")]
    public async Task Try_WhileAnotherReadWaits_FailsNamingBothAndTakesNothing()
    {
        ReaderSource source = Fed("ab");
        Task<byte[]> waiting = source.Reader.ReadLineAsync(Test).AsTask();

        foreach ((string name, Action call) in EveryTry(source.Reader))
        {
            Assert.Matches($@"\b{name}\b.*\bReadLineAsync\b", Assert.Throws<InvalidOperationException>(call).Message);
        }

        Assert.Matches(
            "WaitToReadAsync.*ReadLineAsync", (await Fails<InvalidOperationException, bool>(source.Reader.WaitToReadAsync(Test))).Message);
        source.Feed("\n");
        Assert.Equal("ab\n", Text(await waiting.WaitAsync(Soon, Test)));
    }

    [Fact]
    [Trait("Contract", "R17")]
    public async Task WaitToRead_Waiting_CollidesWithOtherReads()
    {
        ReaderSource source = Make();
        ValueTask<bool> wait = source.Reader.WaitToReadAsync(Test);

        Assert.Matches("ReadLineAsync.*WaitToReadAsync", (await Fails<InvalidOperationException, byte[]>(source.Reader.ReadLineAsync(Test))).Message);
        Assert.Matches("TryReadLine.*WaitToReadAsync", Assert.Throws<InvalidOperationException>(() => source.Reader.TryReadLine(out _)).Message);

        source.Feed("a\n");
        Assert.True(await Get(wait));
        Assert.Equal("a\n", Line(source.Reader));
    }

    [Fact]
    [Trait("Contract", "R18")]
    public async Task WaitToRead_Cancelled_LosesNothing()
    {
        ReaderSource source = Fed("ab");
        ByteStreamReader reader = source.Reader;
        Assert.True(await Get(reader.WaitToReadAsync(Test)));
        Assert.Null(Line(reader));
        using var cancel = new CancellationTokenSource();
        Task<bool> wait = reader.WaitToReadAsync(cancel.Token).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => wait.WaitAsync(Soon, Test));

        Assert.True(reader.TryReadExactly(1, out ReadOnlySequence<byte> first));
        Assert.Equal("a", Text(first.ToArray()));
        source.Feed("c\n");
        Assert.True(await Get(reader.WaitToReadAsync(Test)));
        Assert.Equal("bc\n", Line(reader));
    }

    [Fact]
    public async Task WaitToRead_BytesThatNoTryCallHasExamined_ReturnsAtOnce()
    {
        ReaderSource source = Fed("a\nb\n");
        ByteStreamReader reader = source.Reader;
        Assert.True(await Get(reader.WaitToReadAsync(Test)));
        Assert.True(await Get(reader.WaitToReadAsync(Test)));
        Assert.Equal("a\n", Line(reader));

        ValueTask<bool> again = reader.WaitToReadAsync(Test);

        Assert.True(again.IsCompletedSuccessfully && await again);
        Assert.Equal("b\n", Line(reader));
    }

    private static string? Line(ByteStreamReader reader) =>
        reader.TryReadLine(out ReadOnlySequence<byte> line) ? Text(line.ToArray()) : null;

    private static List<string> Lines(ByteStreamReader reader)
    {
        var lines = new List<string>();
        while (Line(reader) is string line)
        {
            lines.Add(line);
        }

        return lines;
    }

    private static string? Until(ByteStreamReader reader, params string[] separators)
    {
        bool found = separators.Length == 1
            ? reader.TryReadUntil(Bytes(separators[0]), out ReadOnlySequence<byte> record)
            : reader.TryReadUntil(Separators(separators), out record);
        return found ? Text(record.ToArray()) : null;
    }

    private static IEnumerable<(string Name, Action Try)> EveryTry(ByteStreamReader reader)
    {
        yield return ("TryReadLine", () => reader.TryReadLine(out _));
        yield return ("TryReadExactly", () => reader.TryReadExactly(1, out _));
        yield return ("TryReadUntil", () => reader.TryReadUntil(Bytes("b"), out _));
        yield return ("TryReadUntil", () => reader.TryReadUntil(Separators("b", "a"), out _));
        yield return ("TryReadMessage", () => reader.TryReadMessage<string>(TryParseFrame, out _));
    }
}
