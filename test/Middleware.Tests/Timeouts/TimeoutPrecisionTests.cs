using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using ByteStreams.Middleware.Tests.Tls;
using ByteStreams.Timeouts;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Timeouts;

/// <summary>What carries a connection whose timeouts are measured.</summary>
public enum Way
{
    Own,
    Memory,
    Stock,
    OwnTls,
    StockTls,
}

/// <summary>
/// Each timeout counts from its own instant, not from the heartbeat that notices it: with heartbeats at whole seconds and the instant at 3.1 s,
/// a limit of 5 s ends the connection at 9 s, neither at 8 s nor at 10 s.
/// </summary>
public sealed class TimeoutPrecisionTests : TlsTest
{
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(100);

    private readonly FakeTimeProvider _time = new();
    private readonly TaskCompletionSource _go = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ConnectionContext? _connection;
    private ReadWatch? _reads;
    private int _steps;

    public static TheoryData<Way> Ways => [Way.Own, Way.Memory, Way.Stock, Way.OwnTls, Way.StockTls];

    /// <summary>Those that report bytes as the peer takes them.</summary>
    public static TheoryData<Way> OwnWays => [Way.Own, Way.Memory, Way.OwnTls];

    /// <summary>All but Kestrel's stock transport, which closes the connection at the peer's FIN.</summary>
    public static TheoryData<Way> HalfClosingWays => [Way.Own, Way.Memory, Way.OwnTls, Way.StockTls];

    public static TheoryData<Way> TlsWays => [Way.OwnTls, Way.StockTls];

    private ConnectionCloseReason Reason => ConnectionLink.Of(_connection!).CloseReason;

    [Theory, MemberData(nameof(Ways))]
    public async Task ReceiveIdle_LastByteBetweenTwoHeartbeats_CountsFromTheByte(Way way)
    {
        ByteStreamConnection client = await OpenAsync(way, timeouts => timeouts.ReceiveIdle = Seconds(5), Echo);
        await AdvanceToAsync(3.1);
        Assert.Equal("1\n", await AskAsync(client, "1\n"));
        await UntilReadingAsync(2);

        await AdvanceToAsync(8.0);
        Assert.Equal(ConnectionCloseReason.None, Reason);
        await AdvanceToAsync(9.2);
        await AssertEndedAsync(ConnectionCloseReason.ReceiveIdleTimeout);
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task ReceiveIdle_ReadBeginsBetweenTwoHeartbeats_IsNotEarly(Way way)
    {
        await OpenAsync(way, timeouts => timeouts.ReceiveIdle = Seconds(4.5), async (reader, writer, stopping) =>
        {
            await _go.Task;
            await Echo(reader, writer, stopping);
        });
        await AdvanceToAsync(3.9);
        _go.SetResult();
        await UntilReadingAsync(0);

        await AdvanceToAsync(8.3);
        Assert.Equal(ConnectionCloseReason.None, Reason);
        await AdvanceToAsync(9.5);
        await AssertEndedAsync(ConnectionCloseReason.ReceiveIdleTimeout);
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task SendStall_BeginsBetweenTwoHeartbeats_CountsFromThere(Way way)
    {
        await OpenAsync(way, timeouts => timeouts.SendStall = Seconds(5), WriteUntilStalledAsync);
        await AdvanceToAsync(3.1);
        _go.SetResult();
        await UntilStalledAsync();

        await AdvanceToAsync(8.0);
        Assert.Equal(ConnectionCloseReason.None, Reason);
        await AdvanceToAsync(9.2);
        await AssertEndedAsync(ConnectionCloseReason.SendStallTimeout);
    }

    [Theory, MemberData(nameof(OwnWays))]
    public async Task SendStall_LastByteTakenBetweenTwoHeartbeats_CountsFromTheByte(Way way)
    {
        ByteStreamConnection client = await OpenAsync(way, timeouts => timeouts.SendStall = Seconds(5), WriteUntilStalledAsync);
        _go.SetResult();
        await UntilStalledAsync();
        await AdvanceToAsync(3.1);
        for (long before = ConnectionLink.Of(_connection!).BytesSent; ConnectionLink.Of(_connection!).BytesSent == before;)
        {
            Assert.NotEmpty(await client.Reader.ReadAsync(65536, Soon));
        }

        await UntilStalledAsync();

        await AdvanceToAsync(8.0);
        Assert.Equal(ConnectionCloseReason.None, Reason);
        await AdvanceToAsync(9.2);
        await AssertEndedAsync(ConnectionCloseReason.SendStallTimeout);
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task SendStall_BytesWrittenAndNotFlushed_IsNotThePeersFault(Way way)
    {
        await OpenAsync(way, timeouts => timeouts.SendStall = Seconds(5), (_, writer, _) =>
        {
            var output = writer.Transport!.Transport.Output;
            output.GetSpan(1)[0] = 1;
            output.Advance(1);
            return _go.Task;
        });

        await AdvanceToAsync(20);

        Assert.Equal(ConnectionCloseReason.None, Reason);
        _go.SetResult();
    }

    [Theory, MemberData(nameof(HalfClosingWays))]
    public async Task HalfClosed_PeerEndsBetweenTwoHeartbeats_CountsFromTheEnd(Way way)
    {
        ByteStreamConnection client = await OpenAsync(way, timeouts => timeouts.HalfClosed = Seconds(5), async (reader, _, stopping) =>
        {
            Assert.Empty(await reader.ReadAsync(cancellationToken: stopping));
            _begun.SetResult();
            await _go.Task;
        });
        await AdvanceToAsync(3.1);
        client.Writer.WriteEof();
        await client.Writer.DrainAsync(Soon);
        await _begun.Task.WaitAsync(Soon);

        await AdvanceToAsync(8.0);
        Assert.Equal(ConnectionCloseReason.None, Reason);
        await AdvanceToAsync(9.2);
        await AssertEndedAsync(ConnectionCloseReason.HalfClosedTimeout);
        _go.SetResult();
    }

    [Theory, MemberData(nameof(OwnWays))]
    public async Task HalfClosed_ThisSideEndsBetweenTwoHeartbeats_CountsFromTheEnd(Way way)
    {
        await OpenAsync(way, timeouts => timeouts.HalfClosed = Seconds(5), async (reader, writer, stopping) =>
        {
            await _go.Task;
            writer.WriteEof();
            _begun.SetResult();
            await reader.ReadAsync(cancellationToken: stopping);
        });
        await AdvanceToAsync(3.1);
        _go.SetResult();
        await _begun.Task.WaitAsync(Soon);

        await AdvanceToAsync(8.0);
        Assert.Equal(ConnectionCloseReason.None, Reason);
        await AdvanceToAsync(9.2);
        await AssertEndedAsync(ConnectionCloseReason.HalfClosedTimeout);
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task MinReceiveRate_MessageBeginsBetweenTwoHeartbeats_IsNotEarly(Way way)
    {
        ByteStreamConnection client = await OpenAsync(
            way, timeouts => (timeouts.MinReceiveRate, timeouts.MinReceiveRateGrace) = (10, Seconds(4.5)), Echo);
        await AdvanceToAsync(3.9);
        client.Writer.Write("x"u8);
        await client.Writer.DrainAsync(Soon);
        await UntilReadingAsync(1);

        await AdvanceToAsync(8.3);
        Assert.Equal(ConnectionCloseReason.None, Reason);
        await AdvanceToAsync(9.5);
        await AssertEndedAsync(ConnectionCloseReason.ReceiveRateTooLow);
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task MinReceiveRate_EachHeartbeatSeesAnotherMessage_CountsEachAlone(Way way)
    {
        ByteStreamConnection client = await OpenAsync(
            way, timeouts => (timeouts.MinReceiveRate, timeouts.MinReceiveRateGrace) = (10, Seconds(5)), Echo);
        for (int second = 0; second < 12; second++)
        {
            await AdvanceToAsync(second + 0.9);
            client.Writer.Write("x\nx"u8);
            await client.Writer.DrainAsync(Soon);
            await UntilReadingAsync((second + 1) * 3);
        }

        Assert.Equal(ConnectionCloseReason.None, Reason);
    }

    /// <summary>F77: a record that is never complete is no byte to a handler, and a message that has begun all the same.</summary>
    [Theory, MemberData(nameof(TlsWays)), Trait("Fault", "F77")]
    public async Task MinReceiveRate_RecordIsNeverComplete_EndsTheConnection(Way way)
    {
        (_, Socket socket) = await OpenSocketAsync(way, timeouts => (timeouts.MinReceiveRate, timeouts.MinReceiveRateGrace) = (10, Seconds(4.5)));
        await AdvanceToAsync(3.9);
        await socket.SendAsync(new byte[] { 23, 3, 3, 0x40, 0 }, Soon);
        await UntilUnfinishedAsync(5);
        for (double at = 4.5; at < 8.4; at++)
        {
            await AdvanceToAsync(at);
            await socket.SendAsync(new byte[1], Soon);
            await UntilUnfinishedAsync(5 + (int)(at - 3.5));
        }

        await AdvanceToAsync(8.3);
        Assert.Equal(ConnectionCloseReason.None, Reason);
        await AdvanceToAsync(9.5);
        await AssertEndedAsync(ConnectionCloseReason.ReceiveRateTooLow);
    }

    /// <summary>Its bytes count while it comes: it is decrypted only when it is complete.</summary>
    [Theory, MemberData(nameof(TlsWays)), Trait("Fault", "F77")]
    public async Task MinReceiveRate_RecordComesFastEnough_GoesOn(Way way)
    {
        (HeldTls client, Socket socket) = await OpenSocketAsync(
            way, timeouts => (timeouts.MinReceiveRate, timeouts.MinReceiveRateGrace) = (50, Seconds(2)));
        // The message's first byte, and then a record that takes 10 s at 100 bytes a second.
        await client.Stream.WriteAsync("x"u8.ToArray(), Soon);
        await UntilReadingAsync(1);
        byte[] record = await client.EncryptAsync([.. Enumerable.Repeat((byte)'y', 977), (byte)'\n'], Soon);
        int sent = 0;
        for (double at = 0.5; sent < record.Length - 100; at++)
        {
            await AdvanceToAsync(at);
            await socket.SendAsync(record.AsMemory(sent, 100), Soon);
            sent += 100;
            await UntilUnfinishedAsync(sent);
        }

        Assert.Equal(ConnectionCloseReason.None, Reason);
        await socket.SendAsync(record.AsMemory(sent), Soon);
        Assert.Equal(979, (await client.Stream.ReadAtLeastAsync(new byte[979], 979, cancellationToken: Soon)));
    }

    /// <summary>The clock's heartbeat is older than the connection, whose first record begins with the handshake's last bytes.</summary>
    [Theory, MemberData(nameof(TlsWays)), Trait("Fault", "F77")]
    public async Task MinReceiveRate_RecordBeginsWithinTheHandshake_HasTheGrace(Way way)
    {
        Served served = await ServeAsync(way, timeouts => (timeouts.MinReceiveRate, timeouts.MinReceiveRateGrace) = (10, Seconds(4.5)), Echo);
        _ = Heartbeat.For(_time);
        await AdvanceToAsync(20);
        Socket socket = await ConnectPlainAsync(served);
        // All that the client sends after its ClientHello.
        using var held = new MemoryStream();
        var below = new HoldingStream(new NetworkStream(socket));
        below.AfterFirst = held;
        _ = await AuthenticateAsync(below);
        held.Write([23, 3, 3, 0x40, 0]);
        await socket.SendAsync(held.ToArray(), Soon);
        await _started.Task.WaitAsync(Soon);
        await UntilUnfinishedAsync(5);

        await AdvanceToAsync(24.4);
        Assert.Equal(ConnectionCloseReason.None, Reason);
        await AdvanceToAsync(25.6);
        await AssertEndedAsync(ConnectionCloseReason.ReceiveRateTooLow);
    }

    /// <summary>Between two records nothing has begun.</summary>
    [Theory, MemberData(nameof(TlsWays)), Trait("Fault", "F77")]
    public async Task MinReceiveRate_IdleBetweenRecords_IsNoSlowMessage(Way way)
    {
        (HeldTls client, _) = await OpenSocketAsync(way, timeouts => (timeouts.MinReceiveRate, timeouts.MinReceiveRateGrace) = (1000, Seconds(1)));
        await client.Stream.WriteAsync("1\n"u8.ToArray(), Soon);
        await UntilReadingAsync(2);

        await AdvanceToAsync(60);
        Assert.Equal(ConnectionCloseReason.None, Reason);
    }

    [Theory, MemberData(nameof(TlsWays))]
    public async Task FirstByte_OnlyTheHandshakeHasCome_EndsTheConnection(Way way)
    {
        await OpenAsync(way, timeouts => timeouts.FirstByte = Seconds(5), Echo);
        await UntilReadingAsync(0);

        await AdvanceToAsync(4.9);
        Assert.Equal(ConnectionCloseReason.None, Reason);
        await AdvanceToAsync(6.2);
        await AssertEndedAsync(ConnectionCloseReason.FirstByteTimeout);
    }

    [Fact]
    public async Task Lifetime_SlowHandshake_CountsFromTheAccept()
    {
        Served served = await ServeAsync(Way.OwnTls, timeouts => timeouts.Lifetime = Seconds(5), Echo);
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync((IPEndPoint)served.EndPoint, Soon);
        await Patience.UntilAsync(() => served.Metrics.Endpoints.Sum(endpoint => endpoint.Active), now => now == 1);
        await AdvanceToAsync(4.0);
        ByteStreamConnection client = await ByteStream.OpenConnectionAsync(socket, new() { Tls = Client() }, Soon);
        Own(client);
        await _started.Task.WaitAsync(Soon);

        await AdvanceToAsync(4.9);
        Assert.Equal(ConnectionCloseReason.None, Reason);
        await AdvanceToAsync(6.2);
        await AssertEndedAsync(ConnectionCloseReason.LifetimeExceeded);
    }

    private static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds);

    /// <summary>Once it may, it sends until the peer takes no more, and waits for it.</summary>
    private async Task WriteUntilStalledAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        await _go.Task;
        byte[] block = new byte[65536];
        while (true)
        {
            writer.Write(block);
            await writer.DrainAsync(stopping);
        }
    }

    private Task<Served> ServeAsync(Way way, Action<TimeoutOptions> configure, ByteStreamDelegate handler) => ServeAsync(
        way is Way.Stock or Way.StockTls ? Carrier.Stock : Carrier.Own,
        builder =>
        {
            builder.UseTelemetry();
            if (way is Way.OwnTls or Way.StockTls)
            {
                using var certificate = Authority.IssueServer("localhost");
                TlsCertificateOptions files = Write("server", certificate);
                builder.UseTls(tls => tls.Certificates.Add(files));
            }

            // Of the others' defaults none is to end it.
            builder.UseTimeouts(timeouts =>
            {
                timeouts.SendStall = null;
                configure(timeouts);
            });
        },
        (reader, writer, stopping) =>
        {
            _connection = writer.Transport;
            _reads = new ReadWatch(_connection!);
            Task served = handler(reader, writer, stopping);
            _started.TrySetResult();
            return served;
        },
        _time,
        way == Way.Memory ? new InMemoryEndPoint(Guid.NewGuid().ToString()) : null);

    /// <summary>A connection whose handler has begun at 0 s.</summary>
    private async Task<ByteStreamConnection> OpenAsync(Way way, Action<TimeoutOptions> configure, ByteStreamDelegate handler)
    {
        Served served = await ServeAsync(way, configure, handler);
        ByteStreamConnection client = await ConnectAsync(served, options =>
        {
            options.ReceiveBufferSize = way == Way.Memory ? null : 8192;
            options.Tls = way is Way.OwnTls or Way.StockTls ? Client() : null;
        });
        await _started.Task.WaitAsync(Soon);
        return client;
    }

    /// <summary>A client whose socket is at hand, so that it can send less than a record.</summary>
    private async Task<(HeldTls Client, Socket Socket)> OpenSocketAsync(Way way, Action<TimeoutOptions> configure)
    {
        Served served = await ServeAsync(way, configure, Echo);
        Socket socket = await ConnectPlainAsync(served);
        var below = new HoldingStream(new NetworkStream(socket));
        var client = new HeldTls(await AuthenticateAsync(below), below);
        await _started.Task.WaitAsync(Soon);
        await UntilReadingAsync(0);
        return (client, socket);
    }

    /// <summary>So many bytes of a record were received, and a read waits for the rest.</summary>
    private Task UntilUnfinishedAsync(int bytes) => Patience.UntilAsync(
        () => ConnectionLink.Progress(_connection!) is { IsWaitingForInput: true } progress && progress.UnfinishedInput == bytes);

    /// <summary>It has been ended by now, for this reason; over TLS close_notify goes first.</summary>
    private async Task AssertEndedAsync(ConnectionCloseReason reason)
    {
        await Patience.UntilAsync(() => Reason != ConnectionCloseReason.None);
        Assert.Equal(reason, Reason);
    }

    /// <summary>Goes on to so many seconds after the begin, in steps, so that each heartbeat is at its time.</summary>
    private async Task AdvanceToAsync(double seconds)
    {
        for (; _steps < Math.Round(seconds / Step.TotalSeconds); _steps++)
        {
            _time.Advance(Step);
            await Task.Yield();
        }
    }

    /// <summary>So many plain bytes were received, everything was sent, and a read waits.</summary>
    private Task UntilReadingAsync(long received) => _reads!.UntilReadingAsync(received);

    /// <summary>A send waits, and what the system still takes of it is taken: that nothing more goes is to be seen only by looking again.</summary>
    private async Task UntilStalledAsync()
    {
        long before = -1;
        int same = 0;
        await Patience.UntilAsync(() =>
        {
            long sent = ConnectionLink.Of(_connection!).BytesSent;
            same = sent == before && ConnectionLink.Progress(_connection!).IsSendWaiting ? same + 1 : 0;
            before = sent;
            return same == 60;
        });
    }

    private sealed record HeldTls(SslStream Stream, HoldingStream Below)
    {
        /// <summary>The record of some bytes, which is not sent.</summary>
        public async Task<byte[]> EncryptAsync(byte[] bytes, CancellationToken cancellationToken)
        {
            using var held = new MemoryStream();
            Below.Held = held;
            await Stream.WriteAsync(bytes, cancellationToken);
            Below.Held = null;
            return held.ToArray();
        }
    }

    /// <summary>A stream whose writes can be kept back.</summary>
    private sealed class HoldingStream(NetworkStream inner) : Stream
    {
        public MemoryStream? Held { get; set; }

        /// <summary>What keeps back all writes but the first.</summary>
        public MemoryStream? AfterFirst { get; set; }

        public override bool CanRead => true;

        public override bool CanWrite => true;

        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => inner.ReadAsync(buffer, cancellationToken);

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            MemoryStream? held = Held;
            (Held, AfterFirst) = (Held ?? AfterFirst, null);
            return held is not null ? held.WriteAsync(buffer, cancellationToken) : inner.WriteAsync(buffer, cancellationToken);
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
