using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using ByteStreams.Middleware.Tests;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Faults.Tests;

/// <summary>What peers do, on purpose or not: F01 to F16.</summary>
public sealed class PeerRows : FaultTest
{
    private const int MiB = 1 << 20;

    [Fact, Trait("Fault", "F01")]
    public async Task F01_TwoThousandSlowClients_EachEndsAtItsLimit()
    {
        const int Each = 1000;
        Served served = await BeginAsync(Echo, builder => builder.UseTimeouts(timeouts =>
        {
            timeouts.ReceiveIdle = TimeSpan.FromSeconds(3);
            timeouts.MinReceiveRate = 20;
            timeouts.MinReceiveRateGrace = TimeSpan.FromSeconds(2);
        }));
        // These send nothing, those a byte a second of a line that never ends.
        Socket[] silent = await ConnectManyAsync(served.EndPoint, Each);
        Socket[] slow = await ConnectManyAsync(served.EndPoint, Each);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(Soon);
        Task dripping = DripAsync(slow, over.Token);

        await AskCanaryAsync();
        await Task.WhenAll(silent.Concat(slow).Select(UntilEndedAsync));
        await over.CancelAsync();
        await dripping;

        await AssertRecoveredAsync(served, ("receive_idle_timeout", Each), ("receive_rate_too_low", Each));
        Figure($"{2 * Each} connections, the last ended after {served.Summaries.Max(line => (long)Convert.ToDouble(line.GetStructuredStateValue("DurationMilliseconds"), null)):N0} ms");
    }

    [Fact, Trait("Fault", "F03")]
    public async Task F03_ResetWhileTheHandlerReads_IsOneQuietLine()
    {
        const int Count = 200;
        var seen = new ConcurrentQueue<Exception?>();
        Served served = await BeginAsync(async (reader, writer, stopping) =>
        {
            writer.Write("ready\n"u8);
            seen.Enqueue(await Record.ExceptionAsync(async () => await reader.ReadLineAsync(stopping)));
            throw seen.Last()!;
        });
        foreach (Socket socket in await ConnectManyAsync(served.EndPoint, Count))
        {
            await socket.ReceiveAsync(new byte[6], Soon);
            Reset(socket);
        }

        await AssertRecoveredAsync(served, ("reset_by_peer", Count));
        Assert.All(seen, error => Assert.IsType<ConnectionResetException>(error));
        Assert.DoesNotContain(served.Log.GetSnapshot(), record => record.Level > LogLevel.Information || record.Exception is not null);
    }

    [Fact, Trait("Fault", "F04")]
    public async Task F04_ResetWhileTheHandlerWrites_TheLoopEnds()
    {
        const int Count = 100;
        byte[] block = new byte[65536];
        Served served = await BeginAsync(async (_, writer, stopping) =>
        {
            while (true)
            {
                writer.Write(block);
                await writer.DrainAsync(stopping);
            }
        });
        foreach (Socket socket in await ConnectManyAsync(served.EndPoint, Count))
        {
            await socket.ReceiveAsync(new byte[6], Soon);
            Reset(socket);
        }

        await AssertRecoveredAsync(served, ("reset_by_peer", Count));
    }

    [Fact, Trait("Fault", "F06")]
    public async Task F06_LineOverTheLimit_HandlerAnswersAndGoesOn()
    {
        const int Count = 50;
        Served served = await BeginAsync(async (reader, writer, stopping) =>
        {
            while (true)
            {
                try
                {
                    if (await reader.ReadLineAsync(stopping) is not { Length: > 0 } line)
                    {
                        return;
                    }

                    writer.Write(line);
                }
                catch (LimitOverrunException over)
                {
                    writer.Write($"too long by {over.Consumed - reader.Limit}\n");
                }
            }
        });
        byte[] longLine = [.. new byte[70_000], (byte)'\n'];
        for (int i = 0; i < Count; i++)
        {
            await using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(served.EndPoint, cancellationToken: Soon);
            await peer.SendAsync(longLine, Soon);
            await peer.SendAsync("short\n"u8, Soon);
            await peer.HalfCloseAsync(Soon);
            // Found over the limit, or not found within it and then found again: both are told, and neither is an end.
            string answers = Text(await peer.ReceiveToEndAsync(Soon));
            Assert.StartsWith("too long by ", answers, StringComparison.Ordinal);
            Assert.EndsWith("short\n", answers, StringComparison.Ordinal);
        }

        await AssertRecoveredAsync(served, ("closed_by_peer", Count));
    }

    [Fact, Trait("Fault", "F07")]
    public async Task F07_AGibibyteWithoutANewline_MemoryStaysWithinTheLimitAndABuffer()
    {
        const long Sent = 1L << 30;
        long consumed = 0;
        Served served = await BeginAsync(async (reader, writer, stopping) =>
        {
            while (true)
            {
                try
                {
                    if ((await reader.ReadLineAsync(stopping)).Length == 0)
                    {
                        break;
                    }
                }
                catch (LimitOverrunException)
                {
                    consumed++;
                }
            }

            writer.Write("seen\n"u8);
        });
        TakeTime(TimeSpan.FromMinutes(2));
        using Socket socket = await ConnectPlainAsync(served.EndPoint);
        byte[] block = new byte[MiB];
        block.AsSpan().Fill((byte)'x');
        for (long sent = 0; sent < Sent; sent += block.Length)
        {
            await socket.SendAsync(block, Soon);
        }

        socket.Shutdown(SocketShutdown.Send);
        byte[] answer = new byte[5];
        Assert.Equal(5, await socket.ReceiveAsync(answer, Soon));
        await UntilEndedAsync(socket);

        Assert.InRange(consumed, Sent / (4 * 65536), Sent / 65536);
        Assert.InRange(PooledPeak, 1, 4 * 65536);
        await AssertRecoveredAsync(served, ("closed_by_peer", 1));
        Figure($"{PooledPeak / 1024} KiB of buffers at most, for 1 GiB");
    }

    [Fact, Trait("Fault", "F08")]
    public async Task F08_ConnectAndCloseAtOnce_IsNothingToTell()
    {
        const int Count = 1000;
        Served served = await BeginAsync(async (reader, writer, stopping) =>
        {
            writer.Write(default(ReadOnlySpan<byte>));
            await writer.DrainAsync(stopping);
            Assert.Empty(await reader.ReadAsync(cancellationToken: stopping));
            Assert.True(reader.AtEof);
        });
        for (int i = 0; i < Count; i++)
        {
            (await ConnectPlainAsync(served.EndPoint)).Dispose();
        }

        await AssertRecoveredAsync(served, ("closed_by_peer", Count));
        Assert.DoesNotContain(served.Log.GetSnapshot(), record => record.Level > LogLevel.Information);
    }

    [Fact, Trait("Fault", "F09")]
    public async Task F09_OneByteAtATime_FramingStaysIntact()
    {
        const int Lines = 2000;
        Served served = await BeginAsync(async (reader, writer, stopping) =>
        {
            while (await reader.ReadUntilAsync("\r\n"u8.ToArray(), stopping) is { Length: > 2 } line)
            {
                writer.Write(line);
            }
        });
        await using (ChaosRelay relay = await ChaosRelay.StartAsync(served.EndPoint, new ChaosOptions { Seed = 9, MaxPiece = 1 }))
        {
            await using (ByteStreamConnection client = await ByteStream.OpenConnectionAsync(relay.EndPoint, cancellationToken: Soon))
            {
                // A lone CR, and a CR before the CRLF, are no end.
                string[] lines = [.. Enumerable.Range(0, Lines).Select(i => $"{i}\r{(i % 3 == 0 ? "\r" : "x")}\r\n")];
                client.Writer.Write(string.Concat(lines));
                client.Writer.Write("\r\n"u8);
                foreach (string line in lines)
                {
                    Assert.Equal(line, Text(await client.Reader.ReadUntilAsync("\r\n"u8.ToArray(), Soon)));
                }

                Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Soon));
            }

            await Patience.UntilAsync(() => relay.Open, now => now == 0);
        }

        await AssertRecoveredAsync(served, ("closed_locally", 1));
    }

    [Fact, Trait("Fault", "F13")]
    public async Task F13_HandlerReturnsWhileThePeerStillSends_EveryByteOfTheReplyArrives()
    {
        const int Count = 5;
        byte[] reply = RandomNumberGenerator.GetBytes(2 * MiB);
        Served served = await BeginAsync(async (reader, writer, stopping) =>
        {
            await reader.ReadAsync(1, stopping);
            writer.Write(reply);
        });
        for (int i = 0; i < Count; i++)
        {
            await using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(served.EndPoint, cancellationToken: Soon);
            Task<Exception?> sending = Record.ExceptionAsync(() => peer.SendAsync(new byte[16 * MiB], Soon)).AsTask();
            Assert.Equal(reply, await peer.ReceiveToEndAsync(Soon));
            // It is taken too, or cut: what is said behind the end is nobody's.
            Assert.True(await sending is null or ScriptedPeerException);
        }

        await AssertRecoveredAsync(served, ("closed_locally", Count));
    }

    [Fact, Trait("Fault", "F14")]
    public async Task F14_HalfClose_TheOtherDirectionCarriesOn()
    {
        const int Count = 4;
        byte[] reply = RandomNumberGenerator.GetBytes(25 * MiB);
        Served served = await BeginAsync(async (reader, writer, stopping) =>
        {
            Assert.Equal("all of it", Text(await reader.ReadAsync(cancellationToken: stopping)));
            writer.Write(reply);
        });
        for (int i = 0; i < Count; i++)
        {
            await using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(served.EndPoint, cancellationToken: Soon);
            await peer.SendAsync("all of it"u8, Soon);
            await peer.HalfCloseAsync(Soon);
            Assert.Equal(reply, await peer.ReceiveToEndAsync(Soon));
        }

        await AssertRecoveredAsync(served, ("closed_by_peer", Count));
    }

    [Fact, Trait("Fault", "F15")]
    public async Task F15_ConcurrentOperations_AreReportedAtOnceAndNothingLeaks()
    {
        const int Count = 50;
        var outcomes = new ConcurrentQueue<(Exception? Second, Exception? First, Exception? Drain)>();
        Served served = await BeginAsync(async (reader, writer, stopping) =>
        {
            Task<byte[]> first = reader.ReadLineAsync(stopping).AsTask();
            Exception? second = await Record.ExceptionAsync(async () => await reader.ReadExactlyAsync(1, stopping));
            var drain = Task.CompletedTask;
            byte[] block = new byte[MiB];
            while (drain.IsCompletedSuccessfully)
            {
                writer.Write(block);
                drain = writer.DrainAsync(stopping).AsTask();
                // What the kernel takes a moment later is no wait.
                await Task.WhenAny(drain, Task.Delay(300, stopping));
            }

            writer.Abort();
            outcomes.Enqueue((second, await Record.ExceptionAsync(() => first), await Record.ExceptionAsync(() => drain)));
        });
        Socket[] sockets = await ConnectManyAsync(served.EndPoint, Count);
        await Patience.UntilAsync(() => outcomes.Count, now => now == Count);
        await Task.WhenAll(sockets.Select(UntilEndedAsync));

        Assert.All(outcomes, outcome =>
        {
            Assert.IsType<InvalidOperationException>(outcome.Second);
            // An abort from this side is the end for the reader.
            Assert.Null(outcome.First);
            Assert.IsType<ConnectionResetException>(outcome.Drain);
        });
        await AssertRecoveredAsync(served, ("aborted", Count));
    }

    [Fact, Trait("Fault", "F16")]
    public async Task F16_ReadsCancelledAtRandomMoments_NoByteIsLostOrDoubled()
    {
        const int Cancellations = 20_000;
        // The bytes of these, again and again: no two places that a lost or doubled byte could join are alike.
        byte[] cycle = new byte[1_000_003];
        new Random(16).NextBytes(cycle);
        int cancelled = 0;
        long received = 0;
        Served served = await BeginAsync(async (reader, writer, stopping) =>
        {
            var random = new Random(161);
            var cancel = new CancellationTokenSource();
            byte[]? bytes = null;
            while (bytes is not [])
            {
                if (!cancel.TryReset())
                {
                    cancel.Dispose();
                    cancel = new CancellationTokenSource();
                }

                Task<byte[]> read = reader.ReadAsync(random.Next(1, 1000), cancel.Token).AsTask();
                if (!read.IsCompleted)
                {
                    Thread.SpinWait(random.Next(2000));
                    await cancel.CancelAsync();
                }

                try
                {
                    bytes = await read;
                    for (int i = 0; i < bytes.Length; i++)
                    {
                        Assert.True(bytes[i] == cycle[(received + i) % cycle.Length], $"Byte {received + i} is another.");
                    }

                    received += bytes.Length;
                    writer.Write("k"u8);
                }
                catch (OperationCanceledException)
                {
                    Interlocked.Increment(ref cancelled);
                }
            }

            cancel.Dispose();
        });
        TakeTime(TimeSpan.FromMinutes(1));
        using Socket socket = await ConnectPlainAsync(served.EndPoint);
        Task ended = UntilEndedAsync(socket);
        var pieces = new Random(162);
        long sent = 0;
        for (int number = 0; Volatile.Read(ref cancelled) < Cancellations && !ended.IsCompleted; number++)
        {
            int from = (int)(sent % cycle.Length);
            int piece = Math.Min(pieces.Next(1, 700), cycle.Length - from);
            int before = Volatile.Read(ref cancelled);
            sent += await socket.SendAsync(cycle.AsMemory(from, piece), Soon);
            // The reader is to find nothing, again and again: the next piece goes when this one is read, and every second
            // one not before a read was cancelled, however fast this side is.
            while (!ended.IsCompleted && (served.Metrics.Endpoints.Sum(endpoint => endpoint.Bytes().Received) < sent
                || (number % 2 != 0 && Volatile.Read(ref cancelled) == before)))
            {
                Soon.ThrowIfCancellationRequested();
                await Task.Yield();
            }
        }

        socket.Shutdown(SocketShutdown.Send);
        await ended;
        Assert.Equal(sent, Volatile.Read(ref received));
        await AssertRecoveredAsync(served, ("closed_by_peer", 1));
        Figure($"{cancelled:N0} cancelled reads of one connection");
    }

    private static async Task DripAsync(Socket[] sockets, CancellationToken over)
    {
        byte[] drop = Encoding.ASCII.GetBytes("x");
        try
        {
            while (true)
            {
                foreach (Socket socket in sockets)
                {
                    try
                    {
                        await socket.SendAsync(drop, over);
                    }
                    catch (Exception ended) when (ended is SocketException or ObjectDisposedException)
                    {
                        // It has ended, as it should.
                    }
                }

                await Task.Delay(1000, over);
            }
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
        }
    }
}
