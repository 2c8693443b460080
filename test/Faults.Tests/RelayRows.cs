using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using ByteStreams.Middleware.Tests;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Faults.Tests;

/// <summary>A relay between a client and an upstream, both of which fail, stop or go slow: F60 to F64, F74 and F75.</summary>
public sealed class RelayRows : FaultTest
{
    private const int MiB = 1 << 20;

    [Fact, Trait("Fault", "F60")]
    public async Task F60_UpstreamsThatCannotBeReached_TheNextServesAndThenTheClientIsReset()
    {
        const int Each = 5;
        var time = new FakeTimeProvider();
        int waiting = 0;
        // It accepts, and says no word of its handshake.
        Served silent = await ServeAsync(Carrier.Own, _ => { }, async (reader, _, stopping) =>
        {
            Interlocked.Increment(ref waiting);
            await reader.ReadAsync(cancellationToken: stopping);
        });
        Served good = await ServeAsync(Carrier.Own, _ => { }, Echo);
        Served served = await BeginRelayAsync(relay =>
        {
            relay.LoadBalancing = LoadBalancing.RoundRobin;
            relay.Retries = 3;
            relay.EjectAfter = 0;
            relay.Connection.TimeProvider = time;
            relay.Upstreams.Add($"tcp://127.0.0.1:{RefusingPort()}");
            relay.Upstreams.Add("tcp://no-such-host.invalid:1");
            relay.Upstreams.Add($"tls://{silent.EndPoint}");
            relay.Upstreams.Add(Url(good));
        });
        int late = 0;
        for (int i = 0; i < Each; i++)
        {
            await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(served.EndPoint, cancellationToken: Soon);
            await UntilLateAsync(AskAsync(client, "hello\n"));
        }

        await good.DisposeAsync();
        for (int i = 0; i < Each; i++)
        {
            await UntilLateAsync(AssertRefusedAsync(served.EndPoint));
        }

        Assert.InRange(late, Each, 2 * Each);
        await AssertRecoveredAsync(served, ("closed_by_peer", Each), ("upstream_unavailable", Each));

        // The clock goes on where somebody waits for the silent one, and nowhere else: nobody else may be too slow.
        async Task UntilLateAsync(Task asked)
        {
            while (!asked.IsCompleted)
            {
                if (Volatile.Read(ref waiting) > late)
                {
                    late++;
                    time.Advance(TimeSpan.FromSeconds(5));
                }

                await Task.WhenAny(asked, Task.Delay(5, Soon));
            }

            await asked;
        }
    }

    [Fact, Trait("Fault", "F61")]
    public async Task F61_ResetsOnEitherSide_AreResetsOnTheOther()
    {
        const int Each = 50;
        int upstreamResets = 0;
        Served upstream = await ServeAsync(Carrier.Own, _ => { }, async (reader, writer, stopping) =>
        {
            if (Text(await reader.ReadLineAsync(stopping)) == "reset\n")
            {
                writer.Abort();
                return;
            }

            writer.Write("wait\n");
            await Assert.ThrowsAsync<ConnectionResetException>(async () => await reader.ReadLineAsync(stopping));
            Interlocked.Increment(ref upstreamResets);
        });
        Served served = await BeginRelayAsync(relay => relay.Upstreams.Add(Url(upstream)));
        for (int i = 0; i < Each; i++)
        {
            Socket left = await ConnectPlainAsync(served.EndPoint);
            await left.SendAsync("reset\n"u8.ToArray(), Soon);
            Assert.Equal(
                SocketError.ConnectionReset,
                (await Assert.ThrowsAsync<SocketException>(async () => await left.ReceiveAsync(new byte[1], Soon))).SocketErrorCode);
            left.Dispose();

            Socket leaving = await ConnectPlainAsync(served.EndPoint);
            await leaving.SendAsync("go on\n"u8.ToArray(), Soon);
            await leaving.ReceiveAsync(new byte[5], Soon);
            Reset(leaving);
        }

        await AssertRecoveredAsync(served, ("upstream_reset", Each), ("reset_by_peer", Each));
        Assert.Equal(Each, upstreamResets);
    }

    [Theory, Trait("Fault", "F64")]
    [InlineData("tcp")]
    [InlineData("unix")]
    public async Task F64_UpstreamAnswersAnUploadAndClosesUnread_TheAnswerReachesTheClientBeforeTheReset(string kind)
    {
        const int Each = 40;
        byte[] refusal = "HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\n\r\n"u8.ToArray();
        string path = Path.Combine(Path.GetTempPath(), $"f64-{Guid.NewGuid():N}.sock");
        EndPoint endPoint = kind == "tcp" ? new IPEndPoint(IPAddress.Loopback, 0) : new UnixDomainSocketEndPoint(path);
        Socket listening = Own(new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified));
        listening.Bind(endPoint);
        listening.Listen(Each);
        Task refusing = RefuseAsync();
        Served served = await BeginRelayAsync(relay => relay.Upstreams.Add(kind == "tcp" ? $"tcp://{listening.LocalEndPoint}" : $"unix:{path}"));
        int answered = 0;
        for (int i = 0; i < Each; i++)
        {
            Socket client = await ConnectPlainAsync(served.EndPoint);
            bool sawReset = await UploadAsync(client);
            (byte[] answer, bool ended) = await ReceiveToTheEndAsync(client);
            answered += Text(answer) == Text(refusal) ? 1 : 0;
            Assert.True(sawReset || !ended, "The upload was cut off, and its connection ended cleanly.");
            client.Dispose();
        }

        await refusing;
        Figure($"{answered} of {Each} {kind} clients read the answer");
        Assert.Equal(Each, answered);
        await AssertRecoveredAsync(served, ("upstream_reset", Each));

        // It reads a little, answers, and closes with bytes unread, of which the kernel makes a reset.
        async Task RefuseAsync()
        {
            byte[] some = new byte[1000];
            for (int i = 0; i < Each; i++)
            {
                using Socket upload = await listening.AcceptAsync(Soon);
                await upload.ReceiveAsync(some, Soon);
                await upload.SendAsync(refusal, Soon);
            }
        }

        // As a client that looks for the answer after it has sent everything, or can send no more. A reset that a send reports reads as an end.
        async Task<bool> UploadAsync(Socket client)
        {
            byte[] block = new byte[MiB];
            try
            {
                for (int i = 0; i < 16; i++)
                {
                    await client.SendAsync(block, Soon);
                }

                return false;
            }
            catch (SocketException lost) when (lost.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown)
            {
                return true;
            }
        }

        async Task<(byte[] Received, bool Ended)> ReceiveToTheEndAsync(Socket client)
        {
            using var received = new MemoryStream();
            byte[] block = new byte[4096];
            try
            {
                while (await client.ReceiveAsync(block, Soon) is > 0 and int count)
                {
                    received.Write(block, 0, count);
                }

                return (received.ToArray(), true);
            }
            catch (SocketException lost) when (lost.SocketErrorCode == SocketError.ConnectionReset)
            {
                return (received.ToArray(), false);
            }
        }
    }

    [Fact, Trait("Fault", "F62")]
    public async Task F62_UpstreamThatDoesNotRead_PausesTheClientAndNothingIsKept()
    {
        var read = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Served upstream = await ServeAsync(Carrier.Own, _ => { }, async (reader, writer, stopping) =>
        {
            await read.Task;
            long count = 0;
            while (await reader.ReadAsync(MiB, stopping) is { Length: > 0 } bytes)
            {
                count += bytes.Length;
            }

            writer.Write($"{count}\n");
        });
        Served served = await BeginRelayAsync(relay => relay.Upstreams.Add(Url(upstream)));
        Socket client = await ConnectPlainAsync(served.EndPoint);
        client.Blocking = false;
        byte[] block = new byte[MiB];
        long sent = 0;
        // Until nobody on the way takes any more. What the kernel takes later is no matter: it is counted where it arrives.
        while (client.Poll(TimeSpan.FromMilliseconds(300), SelectMode.SelectWrite))
        {
            sent += client.Send(block, SocketFlags.None, out _);
            Assert.InRange(sent, 0, 256L * MiB);
        }

        // 64 KiB each at the relay and at the upstream, which are one process here, and a block that is being filled.
        long kept = PooledPeak;
        read.SetResult();
        client.Blocking = true;
        client.Shutdown(SocketShutdown.Send);
        byte[] answer = new byte[64];
        Assert.Equal($"{sent}\n", Text(answer[..await client.ReceiveAsync(answer, Soon)]));
        client.Dispose();

        Assert.InRange(kept, 1, MiB);
        await AssertRecoveredAsync(served, ("closed_by_peer", 1));
        Figure($"{kept / 1024} KiB of buffers at most, relay and upstream together, for {sent / MiB} MiB on their way");
    }

    [Fact, Trait("Fault", "F63")]
    public async Task F63_HalfCloses_AreCarriedAcrossAndEverythingArrives()
    {
        const int Count = 2;
        byte[] request = RandomNumberGenerator.GetBytes(25 * MiB);
        byte[] reply = RandomNumberGenerator.GetBytes(25 * MiB);
        int whole = 0;
        Served upstream = await ServeAsync(Carrier.Own, _ => { }, async (reader, writer, stopping) =>
        {
            byte[] first = await reader.ReadExactlyAsync(1, stopping);
            if (first[0] == 'u')
            {
                writer.Write(reply);
                writer.WriteEof();
            }

            byte[] rest = await reader.ReadAsync(cancellationToken: stopping);
            whole += rest.AsSpan().SequenceEqual(request) ? 1 : 0;
            if (first[0] == 'c')
            {
                writer.Write(reply);
            }
        });
        Served served = await BeginRelayAsync(relay => relay.Upstreams.Add(Url(upstream)));
        foreach (string first in (string[])["client", "upstream"])
        {
            await using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(served.EndPoint, cancellationToken: Soon);
            await peer.SendAsync(first == "client" ? "c"u8.ToArray() : "u"u8.ToArray(), Soon);
            byte[]? received = first == "upstream" ? await peer.ReceiveToEndAsync(Soon) : null;
            await peer.SendAsync(request, Soon);
            await peer.HalfCloseAsync(Soon);
            received ??= await peer.ReceiveToEndAsync(Soon);
            Assert.True(reply.AsSpan().SequenceEqual(received), $"{received.Length} bytes of {reply.Length} have come, or others.");
        }

        await AssertRecoveredAsync(served, ("closed_by_peer", Count));
        Assert.Equal(Count, whole);
        Figure($"{4 * request.Length / MiB} MiB, byte-exact");
    }

    [Fact, Trait("Fault", "F74")]
    public async Task F74_UpstreamThatIsStopped_EveryClientIsGoneInTime()
    {
        const int Count = 20;
        var limit = TimeSpan.FromSeconds(2);
        // To its clients, a listening socket that nothing accepts from is a process that is stopped.
        Socket stopped = Own(new Socket(SocketType.Stream, ProtocolType.Tcp));
        stopped.Bind(new IPEndPoint(IPAddress.IPv6Loopback, 0));
        stopped.Listen(10 * Count);
        Served served = await BeginRelayAsync(
            relay => relay.Upstreams.Add($"tcp://{stopped.LocalEndPoint}"),
            builder => builder.UseAdmission(admission => admission.MaxConnections = Count).UseTimeouts(timeouts =>
            {
                timeouts.FirstByte = timeouts.ReceiveIdle = timeouts.SendStall = timeouts.HalfClosed = limit;
                timeouts.Lifetime = 2 * limit;
            }));
        for (int round = 0; round < 2; round++)
        {
            // The second round needs the permits of the first.
            var watch = Stopwatch.StartNew();
            for (int i = 0; i < Count; i++)
            {
                Socket client = await ConnectPlainAsync(served.EndPoint);
                await client.SendAsync("ping"u8.ToArray(), Soon);
                client.Dispose();
            }

            int expected = (round + 1) * Count;
            await Patience.UntilAsync(() => served.Summaries.Count, now => now == expected);
            Figure($"{Count} clients gone after {watch.ElapsedMilliseconds} ms");
            Assert.True(watch.Elapsed < Patience.OnThisMachine(limit + TimeSpan.FromSeconds(2)), $"It took {watch.ElapsedMilliseconds} ms.");
        }

        stopped.Dispose();
        await AssertRecoveredAsync(served, ("half_closed_timeout", 2 * Count));
    }

    [Fact, Trait("Fault", "F75")]
    public async Task F75_RelayOntoItself_OpensFewDescriptors()
    {
        const int Count = 20;
        int peak = 0;
        int before = 0;
        ByteStreamRelay? relay = null;
        // On all addresses, of which the relay knows only those that clients have used.
        Served served = await BeginAsync(
            async (reader, writer, stopping) =>
            {
                await relay!.ServeAsync(reader, writer, stopping);
                peak = Math.Max(peak, Descriptors.SocketsOf(Environment.ProcessId) - before);
            },
            endPoint: new IPEndPoint(IPAddress.IPv6Any, 0));
        var options = new RelayOptions();
        int port = ((IPEndPoint)served.EndPoint).Port;
        options.Upstreams.Add($"tcp://127.0.0.1:{port}");
        options.Upstreams.Add($"tcp://[::1]:{port}");
        relay = Own(new ByteStreamRelay(options));
        before = Descriptors.SocketsOf(Environment.ProcessId);
        for (int i = 0; i < Count; i++)
        {
            await AssertRefusedAsync(new IPEndPoint(IPAddress.Loopback, port));
        }

        await Patience.UntilAsync(() => served.Summaries.Count == served.Metrics.Endpoints.Sum(endpoint => endpoint.Accepted));
        Figure($"{peak} sockets at most, {served.Summaries.Count} connections accepted for {Count} clients");
        Assert.InRange(peak, 1, 10);
        // One hop leads to the address that the relay did not know: its end is met within the connect, or after it.
        int unavailable = served.Summaries.Count(line => line.GetStructuredStateValue("Reason") == "upstream_unavailable");
        await AssertRecoveredAsync(served, ("upstream_unavailable", unavailable), ("upstream_reset", served.Summaries.Count - unavailable));
    }

    private static string Url(Served upstream) => $"tcp://{upstream.EndPoint}";

    private Task<Served> BeginRelayAsync(Action<RelayOptions> configure, Action<IConnectionBuilder>? surround = null)
    {
        var options = new RelayOptions();
        configure(options);
        return BeginAsync(Own(new ByteStreamRelay(options)).ServeAsync, surround);
    }
}
