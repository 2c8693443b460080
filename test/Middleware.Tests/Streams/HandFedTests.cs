using System.IO.Pipelines;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>What only a reader that is fed by hand can do, and that one over a pipe refuses: R15, R16.</summary>
public class HandFedTests : ReaderTestBase
{
    [Fact]
    [Trait("Contract", "R1")]
    public void Make_NoLimit_TakesAsyncios()
    {
        Assert.Equal(65536, new ByteStreamReader().Limit);
        Assert.Equal(65536, new ByteStreamReader(new Pipe().Reader).Limit);
        Assert.Throws<ArgumentNullException>(() => new ByteStreamReader(null!));
    }

    [Fact]
    [Trait("Contract", "R16")]
    public async Task FeedData_AfterFeedEof_IsRefused()
    {
        var reader = new ByteStreamReader();
        reader.FeedData("ab"u8);
        reader.FeedEof();

        Assert.Throws<InvalidOperationException>(() => reader.FeedData("c"u8));
        Assert.Throws<InvalidOperationException>(() => reader.FeedData([]));
        reader.FeedEof();
        Assert.Equal("ab", await Get(reader.ReadAsync(-1, Test)));
    }

    [Fact]
    [Trait("Contract", "R16")]
    public async Task FeedData_Empty_DoesNothing()
    {
        var reader = new ByteStreamReader();
        ValueTask<byte[]> read = reader.ReadAsync(9, Test);

        reader.FeedData([]);
        Assert.False(read.IsCompleted);
        Assert.Equal("<ByteStreamReader waiter=<ReadAsync waiting>>", reader.ToString());
        reader.FeedData("a"u8);

        Assert.Equal("a", await Get(read));
    }

    [Fact]
    [Trait("Contract", "R16")]
    public async Task FeedData_ReaderOverAPipe_IsRefused()
    {
        var pipe = new Pipe();
        var reader = new ByteStreamReader(pipe.Reader);

        Assert.Throws<InvalidOperationException>(() => reader.FeedData("a"u8));
        Assert.Throws<InvalidOperationException>(reader.FeedEof);
        await pipe.Writer.WriteAsync(Bytes("b"), Test);
        Assert.Equal("b", await Get(reader.ReadAsync(9, Test)));
    }

    [Fact]
    [Trait("Contract", "R16")]
    public async Task FeedData_TheCallersMemory_IsCopied()
    {
        var reader = new ByteStreamReader();
        byte[] data = Bytes("ab");
        reader.FeedData(data);
        data[0] = (byte)'x';

        Assert.Equal("ab", await Get(reader.ReadAsync(9, Test)));
    }

    [Fact]
    [Trait("Contract", "R15")]
    public void AtEof_BeforeAnyRead_CountsWhatWasFed()
    {
        var reader = new ByteStreamReader();
        reader.FeedEof();
        Assert.True(reader.AtEof);

        reader = new ByteStreamReader();
        reader.FeedData("abc"u8);
        Assert.Equal("<ByteStreamReader 3 bytes>", reader.ToString());
        reader.FeedEof();
        Assert.False(reader.AtEof);
        Assert.Equal("<ByteStreamReader 3 bytes eof>", reader.ToString());
    }
}
