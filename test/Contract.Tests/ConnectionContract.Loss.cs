using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Contract.Tests;

/// <content>What a failure of one direction leaves of the other, and what a close owes to the caller that waits for it.</content>
public abstract partial class ConnectionContract
{
    [Fact, Trait("Contract", "W6"), Trait("Fault", "F18")]
    public async Task Drain_PeerHasAnsweredAndReset_TheAnswerIsReadBeforeTheFailure()
    {
        for (int run = 0; run < Runs; run++)
        {
            Link link = await ConnectAsync();
            link.Writer.Write("413 Payload Too Large\r\n"u8);
            await link.Writer.DrainAsync(Soon);
            // A Unix socket says "reset" only where bytes were left unread.
            link.Client.Writer.Write("unread"u8);
            await link.Client.Writer.DrainAsync(Soon);
            await DrainedByKernelAsync(link.Writer);
            link.Writer.Abort();

            await WriteUntilLostAsync(link.Client.Writer);

            Assert.Equal("413 Payload Too Large", await link.Client.Reader.ReadTextLineAsync(cancellationToken: Soon));
            await Assert.ThrowsAsync<ConnectionResetException>(() => link.Client.Reader.ReadTextLineAsync(cancellationToken: Soon).AsTask());
            await link.DisposeAsync();
        }
    }

    [Fact, Trait("Fault", "F18")]
    public async Task Drain_PeerHasAnsweredAndResetWhileAnotherTaskReads_TheReadsReturnAllOfIt()
    {
        byte[] answer = Pattern(60_000);
        for (int run = 0; run < Runs; run++)
        {
            Link link = await ConnectAsync();
            Task<byte[]> reading = ReadUntilLostAsync(link.Client.Reader);
            Task writing = WriteUntilLostAsync(link.Client.Writer);
            link.Writer.Write(answer);
            await DrainedByKernelAsync(link.Writer);

            link.Writer.Abort();

            await writing;
            Assert.Equal(answer, await reading);
            await link.DisposeAsync();
        }
    }

    [Fact, Trait("Contract", "W8"), Trait("Fault", "F19")]
    public async Task WaitClosed_PeerAcknowledgesNothingWithinTheLingerTimeout_ThrowsTimeoutException()
    {
        var time = new FakeTimeProvider();
        Link link = await ConnectAsync(server => (server.LingerTimeout, server.TimeProvider) = (TimeSpan.FromSeconds(2), time));
        await WriteUntilUnacknowledgedAsync(link.Writer);
        link.Writer.Close();
        Task closed = link.Writer.WaitClosedAsync(Soon);

        await AdvanceUntilAsync(time, closed);

        TimeoutException late = await Assert.ThrowsAsync<TimeoutException>(() => closed);
        Assert.Contains("LingerTimeout (2 s)", late.Message, StringComparison.Ordinal);
    }

    [Fact, Trait("Contract", "W8"), Trait("Fault", "F19")]
    public async Task WaitClosed_ServerAbortsWithBytesLeft_ThrowsThatItWasAborted()
    {
        Link link = await ConnectAsync();
        Task drain = await FillAsync(link.Writer);
        Task closed = link.Writer.WaitClosedAsync(Soon);

        link.ServerLink.Abort(ConnectionCloseReason.ServerShutdown, new InvalidOperationException("The deadline is over."));

        ConnectionAbortedException aborted = await Assert.ThrowsAsync<ConnectionAbortedException>(() => closed);
        Assert.Equal("The deadline is over.", aborted.InnerException?.Message);
        await Assert.ThrowsAnyAsync<IOException>(() => drain);
    }

    [Fact, Trait("Contract", "W7"), Trait("Fault", "F19")]
    public async Task Dispose_PeerKeepsItsSideOpen_DoesNotWaitForTheLinger()
    {
        // Time stands still: the linger ends with the peer, or never.
        Link link = await ConnectAsync(client: options => (options.LingerTimeout, options.TimeProvider) = (TimeSpan.FromHours(1), new FakeTimeProvider()));
        link.Client.Writer.Write("bye"u8);

        await link.Client.DisposeAsync().AsTask().WaitAsync(Soon);

        Task closed = link.Client.Writer.WaitClosedAsync(Soon);
        Assert.Equal("bye", Text(await link.Reader.ReadAsync(cancellationToken: Soon)));
        Assert.False(closed.IsCompleted);
        link.Return();
        await closed;
        Assert.Equal(ConnectionCloseReason.ClosedLocally, link.ClientLink.CloseReason);
    }

    [Fact, Trait("Contract", "S4"), Trait("Fault", "F19")]
    public async Task ServerDispose_ClientKeepsItsSideOpen_DoesNotWaitForTheLinger()
    {
        var began = new TaskCompletionSource();
        var returned = new TaskCompletionSource();
        ByteStreamServer server = await ServeAsync(
            async (_, writer, _) =>
            {
                writer.Write("bye"u8);
                began.SetResult();
                await returned.Task;
            },
            options => (options.LingerTimeout, options.TimeProvider) = (TimeSpan.FromHours(1), new FakeTimeProvider()));
        await using ByteStreamConnection client = await OpenAsync(server);
        await began.Task.WaitAsync(Soon);
        Task disposed = server.DisposeAsync().AsTask();
        Assert.False(disposed.IsCompleted);

        returned.SetResult();

        await disposed.WaitAsync(Soon);
        Assert.Equal("bye", Text(await client.Reader.ReadAsync(cancellationToken: Soon)));
    }

    [Fact, Trait("Contract", "S4")]
    public async Task ServerDispose_ClientLingersAlready_DoesNotWaitForIt()
    {
        ByteStreamServer server = await ServeAsync(
            (_, _, _) => Task.CompletedTask,
            options => (options.LingerTimeout, options.TimeProvider) = (TimeSpan.FromHours(1), new FakeTimeProvider()));
        await using ByteStreamConnection client = await OpenAsync(server);
        Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Soon));

        await server.DisposeAsync().AsTask().WaitAsync(Soon);
    }

    /// <summary>Writes and drains until a drain fails.</summary>
    private async Task WriteUntilLostAsync(ByteStreamWriter writer)
    {
        byte[] block = new byte[65536];
        await Assert.ThrowsAsync<ConnectionResetException>(async () =>
        {
            while (true)
            {
                writer.Write(block);
                await writer.DrainAsync(Soon);
            }
        });
    }

    private async Task<byte[]> ReadUntilLostAsync(ByteStreamReader reader)
    {
        using var received = new MemoryStream();
        Exception? loss = await Record.ExceptionAsync(async () =>
        {
            while (await reader.ReadAsync(1000, Soon) is { Length: > 0 } bytes)
            {
                received.Write(bytes);
            }
        });

        // A Unix socket has no reset of its own: the runtime shuts it down before it closes it, which may be read as the end.
        Assert.True(loss is ConnectionResetException || (loss is null && NeedsUnread), $"The read ended with {loss?.ToString() ?? "the end"}.");
        return received.ToArray();
    }

    /// <summary>Writes until the transport has taken everything and the peer's side has not acknowledged all of it.</summary>
    private async Task WriteUntilUnacknowledgedAsync(ByteStreamWriter writer)
    {
        writer.SetWriteBufferLimits(high: 0);
        byte[] block = new byte[16384];
        do
        {
            writer.Write(block);
            await writer.DrainAsync(Soon);
            // An acknowledgement that is only delayed comes within this.
            await Task.Delay(60, Soon);
        }
        while (UnacknowledgedOf(writer) == 0);
    }

    private async Task DrainedByKernelAsync(ByteStreamWriter writer)
    {
        writer.SetWriteBufferLimits(high: 0);
        await writer.DrainAsync(Soon);
    }

    private static int UnacknowledgedOf(ByteStreamWriter writer) =>
        ((ChannelConnection)writer.Transport!).Unacknowledged;
}
