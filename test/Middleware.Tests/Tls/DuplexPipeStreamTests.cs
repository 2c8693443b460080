using System.IO.Pipelines;
using ByteStreams.Tls;

namespace ByteStreams.Middleware.Tests.Tls;

public class DuplexPipeStreamTests
{
    /// <summary>SslStream flushes when it is disposed, which is behind the end of everything else.</summary>
    [Fact]
    public async Task Flush_OutputIsCompleted_DoesNothing()
    {
        var pipe = new Pipe();
        await using var stream = new DuplexPipeStream(pipe.Reader, pipe.Writer);
        await pipe.Writer.CompleteAsync();

        Assert.Null(Record.Exception(stream.Flush));
        Assert.Null(await Record.ExceptionAsync(() => stream.FlushAsync(TestContext.Current.CancellationToken)));
    }

    [Fact]
    public async Task Write_WithoutAFlush_LeavesAtOnce()
    {
        var pipe = new Pipe();
        await using var stream = new DuplexPipeStream(pipe.Reader, pipe.Writer);

        await stream.WriteAsync("hello"u8.ToArray(), TestContext.Current.CancellationToken);

        Assert.True(pipe.Reader.TryRead(out ReadResult read));
        Assert.Equal(5, read.Buffer.Length);
    }
}
