using System.Net.Sockets;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Contract.Tests;

public abstract partial class ConnectionContract
{
    private const int MiB = 1 << 20;

    [Fact, Trait("Contract", "W3")]
    public async Task WriteEof_SendsWhatWasWrittenAndThenTheEnd()
    {
        Link link = await ConnectAsync();
        Assert.True(link.Client.Writer.CanWriteEof);
        link.Client.Writer.Write("last words"u8);
        link.Client.Writer.WriteEof();
        link.Client.Writer.WriteEof();
        Assert.Equal("last words", Text(await link.Reader.ReadAsync(cancellationToken: Soon)));
        Assert.True(link.Reader.AtEof);

        // The other direction goes on, both ways round.
        link.Writer.Write("reply\n"u8);
        Assert.Equal("reply\n", Text(await link.Client.Reader.ReadLineAsync(Soon)));
        Assert.Equal(ConnectionCloseReason.None, link.ClientLink.CloseReason);
        link.Writer.WriteEof();
        Assert.Empty(await link.Client.Reader.ReadAsync(cancellationToken: Soon));
    }

    [Fact, Trait("Contract", "W3"), Trait("Fault", "F14")]
    public async Task WriteEof_OfBothSidesAtOnceWhileBytesArrive_BothSeeTheEnd()
    {
        for (int i = 0; i < Runs; i++)
        {
            Link link = await ConnectAsync();
            await Task.WhenAll(EndAsync(link.Client.Reader, link.Client.Writer), EndAsync(link.Reader, link.Writer));
            link.Return();
            await link.Client.DisposeAsync();
        }

        Task EndAsync(ByteStreamReader reader, ByteStreamWriter writer) => Task.Run(async () =>
        {
            Task<long> received = DiscardAsync(reader);
            for (int i = 0; i < 5; i++)
            {
                writer.Write(new byte[3000]);
                await writer.DrainAsync(Soon);
            }

            writer.WriteEof();
            Assert.Equal(15000, await received);
        });
    }

    [Theory, Trait("Contract", "W3"), Trait("Fault", "F14")]
    [InlineData(true)]
    [InlineData(false)]
    public async Task WriteEof_OtherDirection_CarriesOnByteExact(bool clientEnds)
    {
        const int blocks = 100;
        Link link = await ConnectAsync();
        (ByteStreamReader reader, ByteStreamWriter ends) = clientEnds ? (link.Client.Reader, link.Client.Writer) : (link.Reader, link.Writer);
        (ByteStreamReader sees, ByteStreamWriter sender) = clientEnds ? (link.Reader, link.Writer) : (link.Client.Reader, link.Client.Writer);
        ends.Write("go"u8);
        ends.WriteEof();
        Assert.Equal("go", Text(await sees.ReadAsync(cancellationToken: Soon)));

        byte[] block = Pattern(MiB);
        Task<byte[]> sending = Task.Run(
            async () =>
            {
                using var sent = IncrementalHash.CreateHash(HashAlgorithmName.SHA1);
                for (int i = 0; i < blocks; i++)
                {
                    block[0] = (byte)i;
                    sent.AppendData(block);
                    sender.Write(block);
                    await sender.DrainAsync(Soon);
                }

                sender.Close();
                return sent.GetHashAndReset();
            },
            Soon);
        using var received = IncrementalHash.CreateHash(HashAlgorithmName.SHA1);
        byte[] buffer = new byte[65536];
        long total = 0;
        while (await reader.ReadAsync(buffer, Soon) is > 0 and int count)
        {
            received.AppendData(buffer, 0, count);
            total += count;
        }

        Assert.Equal((long)blocks * MiB, total);
        Assert.Equal(await sending, received.GetHashAndReset());
    }

    [Theory, Trait("Contract", "W7"), Trait("Fault", "F13")]
    [InlineData(true)]
    [InlineData(false)]
    public async Task HandlerEnds_PeerStillSends16MiB_EveryByteArrivesAndThenTheEnd(bool handlerReturns)
    {
        byte[] reply = Pattern(2 * MiB);
        var tested = new TaskCompletionSource();
        ByteStreamServer server = await ServeAsync(async (_, writer, _) =>
        {
            writer.Write(reply);
            if (!handlerReturns)
            {
                writer.Close();
                await tested.Task;
            }
        });
        byte[] block = new byte[65536];

        await ManyAsync(async () =>
        {
            ByteStreamConnection client = await OpenAsync(server);
            Task sending = Task.Run(
                async () =>
                {
                    for (int i = 0; i < 16 * MiB / block.Length; i++)
                    {
                        client.Writer.Write(block);
                        await client.Writer.DrainAsync(Soon);
                    }
                },
                Soon);
            byte[] received = await client.Reader.ReadAsync(cancellationToken: Soon);
            Assert.True(received.AsSpan().SequenceEqual(reply), $"{received.Length} bytes, or wrong ones");

            // The peer has what it wanted; that it goes away without having sent everything is its own business.
            client.Writer.Abort();
            await sending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await client.DisposeAsync();
        });
        tested.SetResult();
    }

    [Fact, Trait("Contract", "W7"), Trait("Fault", "F13")]
    public async Task HandlerReturns_PeerSendsAllItHasBeforeItReads_EveryByteArrives()
    {
        // Buffers so small that the reply cannot leave before the peer reads.
        byte[] reply = Pattern(2 * MiB);
        ByteStreamServer server = await ServeAsync(
            (_, writer, _) =>
            {
                writer.Write(reply);
                return Task.CompletedTask;
            },
            options => options.SendBufferSize = 32768);
        ByteStreamConnection client = await OpenAsync(server, options => options.ReceiveBufferSize = 32768);
        for (int i = 0; i < 16; i++)
        {
            client.Writer.Write(new byte[MiB]);
            await client.Writer.DrainAsync(Soon);
        }

        client.Writer.WriteEof();
        byte[] received = await client.Reader.ReadAsync(cancellationToken: Soon);
        Assert.True(received.AsSpan().SequenceEqual(reply), $"{received.Length} bytes, or wrong ones");
        client.Writer.Close();
        await client.Writer.WaitClosedAsync(Soon);
        Assert.Equal(ConnectionCloseReason.ClosedByPeer, LinkOf(client.Writer).CloseReason);
        await client.DisposeAsync();
    }

    [Fact, Trait("Contract", "W7")]
    public async Task Close_ReturnsAtOnceAndTwiceIsFine()
    {
        Link link = await ConnectAsync();
        Task drain = await FillAsync(link.Writer);
        link.Writer.Close();
        link.Writer.Close();
        Assert.True(link.Writer.IsClosing);
        // Nothing has left yet, and all of it does.
        Assert.InRange(link.ServerLink.WriteBufferSize, 1, long.MaxValue);
        Assert.Equal(0, await DiscardAsync(link.Client.Reader) % 65536);
        await Assert.ThrowsAsync<ConnectionResetException>(() => drain);
    }

    [Fact, Trait("Contract", "W7")]
    public async Task Close_PeerStaysOpen_LingersForTheTimeout()
    {
        var time = new FakeTimeProvider();
        Link link = await ConnectAsync(server => (server.LingerTimeout, server.TimeProvider) = (TimeSpan.FromSeconds(2), time));
        link.Writer.Write("bye"u8);
        link.Writer.Close();
        Task closed = link.Writer.WaitClosedAsync(Soon);
        Assert.Equal("bye", Text(await link.Client.Reader.ReadAsync(cancellationToken: Soon)));
        time.Advance(TimeSpan.FromSeconds(1.9));
        // Whoever sends now is still heard: its bytes are taken.
        long before = link.ServerLink.BytesReceived;
        link.Client.Writer.Write("anybody?"u8);
        await link.Client.Writer.DrainAsync(Soon);
        await Patience.UntilAsync(() => link.ServerLink.BytesReceived, now => now > before);
        Assert.False(closed.IsCompleted);
        await AdvanceUntilAsync(time, closed);
        await closed;
        Assert.Equal(ConnectionCloseReason.ClosedLocally, link.ServerLink.CloseReason);
    }

    [Fact, Trait("Contract", "W7")]
    public async Task Close_PeerGoesOnSending_TakesNoMoreThanTheLingerBytes()
    {
        var time = new FakeTimeProvider();
        const int bound = 100000;
        Link link = await ConnectAsync(server => (server.LingerBytes, server.TimeProvider) = (bound, time));
        long before = link.ServerLink.BytesReceived;
        link.Writer.Close();
        Task closed = link.Writer.WaitClosedAsync(Soon);
        Assert.Empty(await link.Client.Reader.ReadAsync(cancellationToken: Soon));
        // The sender is paused at last: what arrives is not taken for ever. (How much was on its way is the medium's affair.)
        _ = await FillAsync(link.Client.Writer);
        await Patience.UntilAsync(() => link.ServerLink.BytesReceived - before, now => now >= bound);
        Assert.False(closed.IsCompleted);
        await AdvanceUntilAsync(time, closed);
        await closed;
        // It goes on sending, and learns that nobody takes it.
        await Assert.ThrowsAsync<ConnectionResetException>(async () =>
        {
            while (true)
            {
                link.Client.Writer.Write(new byte[65536]);
                await link.Client.Writer.DrainAsync(Soon);
            }
        });
    }

    [Fact, Trait("Contract", "W7")]
    public async Task Close_LingerTimeoutZero_ClosesAtOnce()
    {
        Link link = await ConnectAsync(server => (server.LingerTimeout, server.TimeProvider) = (TimeSpan.Zero, new FakeTimeProvider()));
        link.Writer.Write("bye"u8);
        link.Writer.Close();
        await link.Writer.WaitClosedAsync(Soon);
        Assert.Equal("bye", Text(await link.Client.Reader.ReadAsync(cancellationToken: Soon)));
    }

    [Theory, Trait("Contract", "W7")]
    [InlineData(1 << 20)]
    [InlineData(0)]
    public async Task Abort_WhileLingering_EndsAtOnce(int lingerBytes)
    {
        // Time stands still: with a bound of zero bytes the close waits for nothing but it.
        Link link = await ConnectAsync(server => (server.TimeProvider, server.LingerBytes) = (new FakeTimeProvider(), lingerBytes));
        link.Writer.Write("bye"u8);
        link.Writer.Close();
        Task closed = link.Writer.WaitClosedAsync(Soon);
        Assert.Equal("bye", Text(await link.Client.Reader.ReadAsync(cancellationToken: Soon)));
        Assert.False(closed.IsCompleted);
        link.Writer.Abort();
        await closed;
        await link.Writer.Transport!.DisposeAsync().AsTask().WaitAsync(Soon);
        Assert.Equal(ConnectionCloseReason.Aborted, link.ServerLink.CloseReason);
    }

    [Fact, Trait("Contract", "W8")]
    public async Task WaitClosed_ConnectionLost_ThrowsTheCauseHoweverOftenItIsAwaited()
    {
        Link link = await ConnectAsync();
        // Nobody reads and nobody writes on this side.
        Task closed = link.Writer.WaitClosedAsync(Soon);
        await ResetByClientAsync(link);
        ConnectionResetException cause = await Assert.ThrowsAsync<ConnectionResetException>(() => closed);
        Assert.Same(cause, await Assert.ThrowsAsync<ConnectionResetException>(() => link.Writer.WaitClosedAsync(Soon)));
        Assert.Equal(ConnectionCloseReason.ResetByPeer, link.ServerLink.CloseReason);
    }

    [Fact, Trait("Contract", "W8")]
    public async Task WaitClosed_BufferWasFullAndIsReadLater_StillNoticesTheReset()
    {
        Link link = await ConnectAsync();
        Task closed = link.Writer.WaitClosedAsync(Soon);
        link.Client.Writer.Write(new byte[300000]);
        await Patience.UntilAsync(() => link.ServerLink.BytesReceived, now => now >= 65536);
        await link.Reader.ReadExactlyAsync(300000, Soon);
        await ResetByClientAsync(link);
        await Assert.ThrowsAsync<ConnectionResetException>(() => closed);
    }

    [Fact, Trait("Contract", "W9")]
    public async Task Abort_DropsWhatIsBufferedAndThePeerSeesAReset()
    {
        Link link = await ConnectAsync();
        // A Unix socket says "reset" only where bytes were left unread.
        link.Client.Writer.Write("unread"u8);
        await link.Client.Writer.DrainAsync(Soon);
        Task drain = await FillAsync(link.Writer);
        link.Writer.Abort();
        link.Writer.Abort();
        Assert.True(link.Writer.IsClosing);
        Assert.Equal(0, link.ServerLink.WriteBufferSize);
        await Assert.ThrowsAsync<ConnectionResetException>(() => DiscardAsync(link.Client.Reader));
        await Assert.ThrowsAsync<ConnectionResetException>(() => drain);
        await link.Writer.WaitClosedAsync(Soon);
        Assert.Equal(ConnectionCloseReason.Aborted, link.ServerLink.CloseReason);
        Assert.Equal(ConnectionCloseReason.ResetByPeer, link.ClientLink.CloseReason);
    }

    [Fact, Trait("Fault", "F03")]
    public async Task Reset_WhileTheHandlerReads_TheReadThrows()
    {
        var seen = new System.Collections.Concurrent.ConcurrentQueue<Exception?>();
        ByteStreamServer server = await ServeAsync(async (reader, writer, _) =>
        {
            writer.Write("hello\n"u8);
            Exception? error = await Record.ExceptionAsync(async () =>
            {
                await reader.ReadLineAsync(Soon);
                writer.Write("unread"u8);
                await reader.ReadLineAsync(Soon);
            });
            seen.Enqueue(error);
            Assert.Same(error, reader.Exception);
            throw error ?? new InvalidOperationException("The read has returned.");
        });
        await ManyAsync(async () =>
        {
            ByteStreamConnection client = await OpenAsync(server);
            await client.Reader.ReadLineAsync(Soon);
            client.Writer.Write("go\n"u8);
            await client.Writer.DrainAsync(Soon);
            if (NeedsUnread)
            {
                await Patience.UntilAsync(() => client.Writer.GetExtraInfo("socket") is Socket { Available: > 0 });
            }

            client.Writer.Abort();
            await client.DisposeAsync();
        });
        await Patience.UntilAsync(() => seen.Count, now => now == Runs);
        Assert.All(seen, error => Assert.IsType<ConnectionResetException>(error));
    }

    [Fact, Trait("Fault", "F04")]
    public async Task Reset_WhileTheHandlerWrites_ADrainThrowsAndTheLoopEnds()
    {
        var seen = new System.Collections.Concurrent.ConcurrentQueue<Exception?>();
        ByteStreamServer server = await ServeAsync(async (_, writer, _) =>
        {
            byte[] block = new byte[10000];
            Exception? error = await Record.ExceptionAsync(async () =>
            {
                while (true)
                {
                    writer.Write(block);
                    await writer.DrainAsync(Soon);
                }
            });
            seen.Enqueue(error);
            Assert.True(writer.IsClosing);
        });
        await ManyAsync(async () =>
        {
            ByteStreamConnection client = await OpenAsync(server);
            await client.Reader.ReadExactlyAsync(100000, Soon);
            client.Writer.Abort();
            await client.DisposeAsync();
        });
        await Patience.UntilAsync(() => seen.Count, now => now == Runs);
        Assert.All(seen, error => Assert.IsType<ConnectionResetException>(error));
    }

    [Fact]
    public async Task CloseReason_PeerClosedFirst_IsClosedByPeer()
    {
        Link link = await ConnectAsync();
        Assert.Equal(ConnectionCloseReason.None, link.ServerLink.CloseReason);
        link.Client.Writer.Close();
        Assert.Empty(await link.Reader.ReadAsync(cancellationToken: Soon));
        link.Return();
        await link.Writer.WaitClosedAsync(Soon);
        Assert.Equal(ConnectionCloseReason.ClosedByPeer, link.ServerLink.CloseReason);
        Assert.Equal(ConnectionCloseReason.ClosedLocally, link.ClientLink.CloseReason);
    }

    [Fact]
    public async Task CloseReason_HandlerReturned_IsClosedLocally()
    {
        Link link = await ConnectAsync();
        link.Return();
        Assert.Empty(await link.Client.Reader.ReadAsync(cancellationToken: Soon));
        link.Client.Writer.Close();
        await link.Client.Writer.WaitClosedAsync(Soon);
        await link.ServerLink.WaitClosedAsync().WaitAsync(Soon);
        Assert.Equal(ConnectionCloseReason.ClosedLocally, link.ServerLink.CloseReason);
        Assert.Equal(ConnectionCloseReason.ClosedByPeer, link.ClientLink.CloseReason);
    }

    [Fact]
    public async Task CloseReason_HandlerThrew_IsHandlerErrorAndThePeerIsReset()
    {
        Link link = await ConnectAsync();
        link.Client.Writer.Write("unread"u8);
        await link.Client.Writer.DrainAsync(Soon);
        link.Throw(new InvalidOperationException("handler"));
        await Assert.ThrowsAsync<ConnectionResetException>(() => link.Client.Reader.ReadAsync(cancellationToken: Soon).AsTask());
        await link.ServerLink.WaitClosedAsync().WaitAsync(Soon);
        Assert.Equal(ConnectionCloseReason.HandlerError, link.ServerLink.CloseReason);
        Assert.Equal(ConnectionCloseReason.ResetByPeer, link.ClientLink.CloseReason);
    }

    [Fact]
    public async Task CompleteOutput_WithAnException_ResetsTheConnection()
    {
        Link link = await ConnectAsync();
        link.Client.Writer.Write("unread"u8);
        await link.Client.Writer.DrainAsync(Soon);
        await link.Writer.Transport!.Transport.Output.CompleteAsync(new InvalidOperationException("middleware"));
        await Assert.ThrowsAsync<ConnectionResetException>(() => link.Client.Reader.ReadAsync(cancellationToken: Soon).AsTask());
        Assert.Equal(ConnectionCloseReason.Aborted, link.ServerLink.CloseReason);
    }

    [Fact]
    public async Task Counts_WhatOneSideHasSent_TheOtherHasReceived()
    {
        Link link = await ConnectAsync();
        link.Client.Writer.Write(new byte[1000]);
        link.Client.Writer.WriteEof();
        await link.Reader.ReadAsync(cancellationToken: Soon);
        link.Writer.Write(new byte[500000]);
        link.Writer.Close();
        Assert.Equal(500000, await DiscardAsync(link.Client.Reader));
        Assert.Equal(link.ClientLink.BytesSent, link.ServerLink.BytesReceived);
        Assert.Equal(link.ServerLink.BytesSent, link.ClientLink.BytesReceived);
        Assert.InRange(link.ClientLink.BytesSent, 1000, ServerTls is null ? 1000 : 10000);
        Assert.InRange(link.ServerLink.BytesSent, 500000, ServerTls is null ? 500000 : 520000);
    }

    /// <summary>Whether the medium tells its peer of a reset only where bytes were left unread.</summary>
    protected virtual bool NeedsUnread => false;

    /// <summary>Runs something as often as the medium asks for, side by side, so that no run waits for another's lingering.</summary>
    private async Task ManyAsync(Func<Task> run)
    {
        using var room = new SemaphoreSlim(16);
        await Task.WhenAll(Enumerable.Range(0, Runs).Select(async _ =>
        {
            await room.WaitAsync(Soon);
            try
            {
                await run();
            }
            finally
            {
                room.Release();
            }
        }));
    }

    /// <summary>Advances the clock again and again: the wait that it is to end may begin a moment after the first time.</summary>
    private protected async Task AdvanceUntilAsync(FakeTimeProvider time, Task done)
    {
        while (!done.IsCompleted)
        {
            time.Advance(TimeSpan.FromSeconds(2));
            await Task.WhenAny(done, Task.Delay(10, Soon));
        }
    }
}
