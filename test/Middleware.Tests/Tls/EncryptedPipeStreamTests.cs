using System.IO.Pipelines;
using ByteStreams.Tls;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Middleware.Tests.Tls;

public class EncryptedPipeStreamTests
{
    /// <summary>SslStream flushes when it is disposed, which is behind the end of everything else.</summary>
    [Fact]
    public async Task Flush_OutputIsCompleted_DoesNothing()
    {
        var pipe = new Pipe();
        await using var stream = new EncryptedPipeStream(pipe.Reader, pipe.Writer);
        await pipe.Writer.CompleteAsync();

        Assert.Null(Record.Exception(stream.Flush));
        Assert.Null(await Record.ExceptionAsync(() => stream.FlushAsync(TestContext.Current.CancellationToken)));
    }

    [Fact]
    public async Task Write_WithoutAFlush_LeavesAtOnce()
    {
        var pipe = new Pipe();
        await using var stream = new EncryptedPipeStream(pipe.Reader, pipe.Writer);

        await stream.WriteAsync("hello"u8.ToArray(), TestContext.Current.CancellationToken);

        Assert.True(pipe.Reader.TryRead(out ReadResult read));
        Assert.Equal(5, read.Buffer.Length);
    }

    [Fact]
    public async Task FindError_PipeWasLost_IsItsCause()
    {
        var pipe = new Pipe();
        await using var stream = new EncryptedPipeStream(pipe.Reader, pipe.Writer);
        await pipe.Writer.WriteAsync("hello"u8.ToArray(), TestContext.Current.CancellationToken);
        Assert.Null(stream.FindError());

        // What lies there stays.
        byte[] buffer = new byte[5];
        await stream.ReadExactlyAsync(buffer, TestContext.Current.CancellationToken);
        Assert.Equal("hello"u8.ToArray(), buffer);

        var reset = new ConnectionResetException("gone");
        await pipe.Writer.CompleteAsync(reset);
        Assert.Same(reset, stream.FindError());
        await pipe.Reader.CompleteAsync();
        Assert.Null(stream.FindError());
    }
}
