using System.Buffers;
using System.IO.Pipelines;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>R21, by counting how often the reader looks at a byte, every byte being a segment of its own.</summary>
public class SearchCostTests : ReaderTestBase
{
    public static TheoryData<string, string> Reads => new()
    {
        { "\n", "line" }, { "\n", "borrowed line" }, { "\r\n", "until" }, { "-----END-----", "until" }, { ";", "any" }, { ";", "two hundred" },
    };

    [Theory]
    [MemberData(nameof(Reads))]
    [Trait("Contract", "R21")]
    public async Task Read_OneByteAtATime_LooksAtEachByteAFewTimes(string end, string kind)
    {
        const int length = 4096;
        var source = new OverChunks(limit: 2 * length, PipeScheduler.Inline);
        ByteStreamReader reader = source.Reader;
        ReadOnlyMemory<byte>[] any = Separators("----------", ";", "!!!!");
        ReadOnlyMemory<byte>[] twoHundred = Separators([.. Enumerable.Range(0, 199).Select(i => $"xxxxxxxxxxxxxxxx{i:000}"), ";"]);
        Task<long> read = kind switch
        {
            "line" => Length(reader.ReadLineAsync(Test)),
            "borrowed line" => BorrowedLength(reader.BorrowLineAsync(Test)),
            "until" => Length(reader.ReadUntilAsync(Bytes(end), Test)),
            "any" => Length(reader.ReadUntilAsync(any, Test)),
            _ => Length(reader.ReadUntilAsync(twoHundred, Test)),
        };

        for (int i = 0; i < length; i++)
        {
            source.Feed("x");
        }

        foreach (char c in end)
        {
            source.Feed(c.ToString());
        }

        Assert.Equal(length + end.Length, await read.WaitAsync(Soon, Test));
        // A search looks again at what may be the head of a separator, and each separator is one search; many are one search, which goes
        // on where it was. To search from the start each time would cost length² / 2 = 8 million looks.
        int searches = kind switch { "any" => 3 * 10, "two hundred" => 1, _ => end.Length };
        Assert.InRange(source.Input.Looks, length, (searches + 8) * 3L * length);

        static async Task<long> Length(ValueTask<byte[]> read) => (await read).Length;
        static async Task<long> BorrowedLength(ValueTask<ReadOnlySequence<byte>> read) => (await read).Length;
    }

    [Fact]
    [Trait("Contract", "R21")]
    [Trait("Fault", "F09")]
    public async Task ReadLine_OneMebibyteFedOneByteAtATime_IsReadWhole()
    {
        const int length = 1 << 20;
        var source = new HandFed(limit: length, PipeScheduler.Inline);
        Task<byte[]> line = source.Reader.ReadLineAsync(Test).AsTask();
        for (int i = 0; i < length; i++)
        {
            source.Reader.FeedData("x"u8);
        }

        Assert.False(line.IsCompleted);
        source.Reader.FeedData("\n"u8);
        Assert.Equal(length + 1, (await line.WaitAsync(Soon, Test)).Length);
    }
}
