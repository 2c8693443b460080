using System.Buffers;

namespace ByteStreams.Middleware.Tests.Streams;

/// <content>Reads that leave the bytes in the buffer: R25.</content>
public abstract partial class ReaderContract
{
    [Fact]
    [Trait("Contract", "R25")]
    public async Task Peek_EnoughIsBuffered_ReturnsAllOfItAndTakesNothing()
    {
        ReaderSource source = Fed("ab\ncd");

        Assert.StartsWith("ab", await Get(source.Reader.PeekAsync(2, Test)), StringComparison.Ordinal);
        Assert.Equal("ab\ncd", await Get(source.Reader.PeekAsync(5, Test)));
        Assert.Equal("ab\n", await Get(source.Reader.ReadLineAsync(Test)));
        Assert.Equal("cd", await Get(source.Reader.PeekAsync(cancellationToken: Test)));
        Assert.Equal("cd", await Get(source.Reader.ReadExactlyAsync(2, Test)));
        Assert.Empty(await Get(source.Reader.PeekAsync(0, Test)));
    }

    [Fact]
    [Trait("Contract", "R25")]
    public async Task Peek_FewerAreBuffered_WaitsForTheRest()
    {
        ReaderSource source = Fed("a");
        ValueTask<ReadOnlySequence<byte>> peek = source.Reader.PeekAsync(3, Test);
        Assert.False(peek.IsCompleted);
        source.Feed("b", "c");

        Assert.Equal("abc", await Get(peek));
        Assert.Equal("abc", await Get(source.Reader.ReadExactlyAsync(3, Test)));
    }

    [Fact]
    [Trait("Contract", "R25")]
    public async Task Peek_StreamEndsFirst_ReturnsWhatIsLeft()
    {
        ReaderSource source = Fed("ab");
        source.Finish();

        Assert.Equal("ab", await Get(source.Reader.PeekAsync(3, Test)));
        Assert.Equal("ab", await Get(source.Reader.ReadAsync(-1, Test)));
        Assert.Empty(await Get(source.Reader.PeekAsync(3, Test)));
    }

    [Fact]
    [Trait("Contract", "R25")]
    public async Task Peek_NegativeNumber_ThrowsArgumentOutOfRange() =>
        await Fails<ArgumentOutOfRangeException, ReadOnlySequence<byte>>(Fed("a").Reader.PeekAsync(-1, Test));
}
