using System.Buffers;
using CsCheck;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>More separators than one pass for each is worth, against a search that looks at every position for every separator (R8, R12).</summary>
public class ManySeparatorsTests : ReaderTestBase
{
    private static readonly Gen<string> GenSeparator = Gen.Select(
        Gen.OneOf(Gen.Const(""), Gen.Const("aaaa"), Gen.Const("abab")), Gen.Char["abc"].Array[1, 8], (prefix, rest) => prefix + new string(rest));

    private static readonly Gen<(string[] Separators, string[] Segments)> GenSearch = Gen.Select(
        GenSeparator.Array[5, 60], Gen.Char["abcx"].Array[1, 9].Select(bytes => new string(bytes)).Array[1, 20]);

    [Fact]
    [Trait("Contract", "R12")]
    public void Find_AnySeparatorsOverAnySegments_IsWhatEndsFirstAndIsShortest() => GenSearch.Sample(
        search =>
        {
            SeparatorAutomaton automaton = SeparatorAutomaton.For(Separators(search.Separators));
            string text = string.Concat(search.Segments);
            (int Start, int End)? expected = Naive(text, search.Separators);

            // All at once, and segment by segment as they arrive.
            int state = 0;
            bool found = automaton.TryFind(Chain(search.Segments), 0, ref state, out long start, out long end);
            Assert.Equal(expected, found ? ((int)start, (int)end) : null);

            state = 0;
            found = false;
            for (int arrived = 1, searched = 0; arrived <= search.Segments.Length && !found; searched += search.Segments[arrived - 1].Length, arrived++)
            {
                found = automaton.TryFind(Chain(search.Segments[..arrived]), searched, ref state, out start, out end);
            }

            Assert.Equal(expected, found ? ((int)start, (int)end) : null);
        },
        iter: 20_000,
        threads: 1);

    [Fact]
    [Trait("Contract", "R8")]
    public void Find_FewSeparatorsOverAnySegments_IsWhatEndsFirstAndIsShortest() => Gen.Select(
        GenSeparator.Array[1, SeparatorAutomaton.MostPasses], Gen.Char["abcx"].Array[1, 9].Select(bytes => new string(bytes)).Array[1, 20]).Sample(
        (separators, segments) =>
        {
            ReadOnlyMemory<byte>[] sorted = [.. Separators(separators).OrderBy(separator => separator.Length)];
            bool found = ByteStreams.Separators.TryFind(Chain(segments), 0, sorted, out long start, out long end);
            Assert.Equal(Naive(string.Concat(segments), separators), found ? ((int)start, (int)end) : null);
        },
        iter: 20_000,
        threads: 1);

    [Theory]
    [InlineData("QWEaaXYaaa", "aaa", "aaab", "bbb", "ccc", "ddd")]
    [InlineData("abc", "abcd", "bc", "dddd", "eeee", "ffff")]
    [InlineData("xabc", "abc", "bc", "c", "ab#", "a#")]
    [InlineData("aaab", "aab", "aac", "aad", "aae", "aaf")]
    [InlineData("\0\0", "\0\0", "\0\u00ff", "\u00ff\u00ff", "\u0080", "\n")]
    [Trait("Contract", "R8")]
    public async Task ReadUntil_FiveSeparatorsAndOneByteAtATime_ReturnsThroughTheFirst(string record, params string[] separators)
    {
        ByteStreamReader reader = new();
        Task<byte[]> read = reader.ReadUntilAsync(Separators(separators), Test).AsTask();
        foreach (char value in record)
        {
            Assert.False(read.IsCompleted);
            reader.FeedData(Bytes(value.ToString()));
        }

        reader.FeedData("rest"u8);
        Assert.Equal(record, Text(await read.WaitAsync(Soon, Test)));
        Assert.Equal("rest", await Get(reader.ReadAsync(9, Test)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(299)]
    [InlineData(1000)]
    [Trait("Contract", "R8")]
    public void Find_LongSeparatorOverSegments_IsFound(int segment)
    {
        string separator = new string('a', 299) + 'b';
        string text = "x" + new string('a', 500) + "b" + separator;
        string[] segments = [.. text.Chunk(segment).Select(bytes => new string(bytes))];
        Assert.True(ByteStreams.Separators.TryFind(Chain(segments), 0, Separators(separator), out long start, out long end));
        Assert.Equal((202, 502), (start, end));
    }

    [Fact]
    public async Task ReadUntil_ListChangedBetweenTwoReads_UsesTheChangedList()
    {
        ReadOnlyMemory<byte>[] separators = Separators("1", "2", "3", "4", "5");
        ByteStreamReader reader = new();
        reader.FeedData("a5b;c5d"u8);
        Assert.Equal("a5", await Get(reader.ReadUntilAsync(separators, Test)));
        separators[4] = Bytes(";");
        Assert.Equal("b;", await Get(reader.ReadUntilAsync(separators, Test)));
    }

    [Fact]
    public void For_ListMadeAnewForEachRead_MakesNoOtherAutomaton()
    {
        SeparatorAutomaton first = SeparatorAutomaton.For(Separators("1", "2", "3", "4", "5"));

        Assert.Same(first, SeparatorAutomaton.For(Separators("1", "2", "3", "4", "5")));
        Assert.NotSame(first, SeparatorAutomaton.For(Separators("1", "2", "3", "4", "6")));
    }

    private static (int Start, int End)? Naive(string text, string[] separators)
    {
        for (int end = 1; end <= text.Length; end++)
        {
            string? found = separators.Where(separator => text[..end].EndsWith(separator, StringComparison.Ordinal)).MinBy(separator => separator.Length);
            if (found is not null)
            {
                return (end - found.Length, end);
            }
        }

        return null;
    }

    private static ReadOnlySequence<byte> Chain(string[] segments)
    {
        var first = new Piece(Bytes(segments[0]), 0);
        Piece last = first;
        foreach (string segment in segments[1..])
        {
            last = last.Then(Bytes(segment));
        }

        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(byte[] bytes, long index) => (Memory, RunningIndex) = (bytes, index);

        public Piece Then(byte[] bytes)
        {
            var next = new Piece(bytes, RunningIndex + Memory.Length);
            Next = next;
            return next;
        }
    }
}
