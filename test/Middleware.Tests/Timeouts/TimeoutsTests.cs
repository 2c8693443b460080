using System.Net;
using System.Net.Sockets;
using ByteStreams.Timeouts;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Timeouts;

/// <summary>
/// What takes too long ends, for its own reason and no other, on a clock that only the test moves (F01, F05, F52). The heartbeat
/// looks each second, so a limit of N seconds is over at the N+1st look at the latest, and never at the N-1st.
/// </summary>
public sealed class TimeoutsTests : ServedTest
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly FakeTimeProvider _time = new();
    private ConnectionContext? _connection;
    private ReadWatch? _reads;
    private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connect_NothingSent_EndsAtTheFirstByteTimeout(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, timeouts => timeouts.FirstByte = 5 * Second);
        await ConnectAsync(served);
        await _begun.Task.WaitAsync(Soon);

        await AssertEndsAsync(served, "first_byte_timeout", notBefore: 5);
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connect_FirstByteInTime_GoesOn(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, timeouts => timeouts.FirstByte = 5 * Second);
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(connection, "1\n"));

        await UntilReadingAsync(2);
        await BeatAsync(100);

        Assert.Equal("2\n", await AskAsync(connection, "2\n"));
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Read_NothingReceived_EndsAtTheReceiveIdleTimeout(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, timeouts => timeouts.ReceiveIdle = 5 * Second);
        ByteStreamConnection connection = await ConnectAsync(served);
        await BeatAsync(4);
        Assert.Equal("1\n", await AskAsync(connection, "1\n"));
        await UntilReadingAsync(2);

        await AssertEndsAsync(served, "receive_idle_timeout", notBefore: 5);
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Write_OnlySending_IsNoReceive(Carrier carrier)
    {
        var send = new SemaphoreSlim(0);
        Served served = await ServeAsync(carrier, timeouts => timeouts.ReceiveIdle = 5 * Second, async (reader, writer, stopping) =>
        {
            ValueTask<byte[]> line = reader.ReadLineAsync(stopping);
            _begun.SetResult();
            for (int i = 0; i < 3; i++)
            {
                await send.WaitAsync(stopping);
                writer.Write("tick\n"u8);
                await writer.DrainAsync(stopping);
            }

            await line;
        });
        ByteStreamConnection connection = await ConnectAsync(served);
        await _begun.Task.WaitAsync(Soon);
        for (int i = 0; i < 3; i++)
        {
            await BeatAsync(1);
            send.Release();
            Assert.Equal("tick\n", Text(await connection.Reader.ReadLineAsync(Soon)));
        }

        await AssertEndsAsync(served, "receive_idle_timeout", notBefore: 2);
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Read_HandlerDoesNotRead_IsNoTimeoutOfThePeer(Carrier carrier)
    {
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeAsync(carrier, timeouts => timeouts.ReceiveIdle = 5 * Second, async (reader, writer, stopping) =>
        {
            _begun.SetResult();
            await go.Task;
            await Echo(reader, writer, stopping);
        });
        ByteStreamConnection connection = await ConnectAsync(served);
        await _begun.Task.WaitAsync(Soon);

        await BeatAsync(100);
        go.SetResult();

        Assert.Equal("1\n", await AskAsync(connection, "1\n"));
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F05")]
    public async Task Write_PeerTakesNothing_IsAbortedAtTheSendStall(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, timeouts => timeouts.SendStall = 5 * Second, async (_, writer, stopping) =>
        {
            byte[] block = new byte[65536];
            while (true)
            {
                writer.Write(block);
                ValueTask drained = writer.DrainAsync(stopping);
                if (!drained.IsCompleted)
                {
                    _begun.TrySetResult();
                }

                await drained;
            }
        });
        using Socket silent = await ConnectSilentAsync(served);
        await _begun.Task.WaitAsync(Soon);

        // What the system still takes comes first.
        await AssertEndsAsync(served, "send_stall_timeout", notBefore: 5);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F01")]
    public async Task Read_AByteASecond_EndsBelowTheMinimumRate(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, timeouts => (timeouts.MinReceiveRate, timeouts.MinReceiveRateGrace) = (10, 5 * Second));
        ByteStreamConnection connection = await ConnectAsync(served);
        await _begun.Task.WaitAsync(Soon);
        int seconds = 0;
        while (ConnectionLink.Of(_connection!).CloseReason == ConnectionCloseReason.None && seconds < 20)
        {
            connection.Writer.Write("x"u8);
            await connection.Writer.DrainAsync(Soon);
            await UntilReadingAsync(seconds + 1);
            await BeatAsync(1);
            seconds++;
        }

        Assert.InRange(seconds, 5, 19);
        await connection.DisposeAsync();
        Assert.Contains("receive_rate_too_low", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Read_FastEnough_IsNotEndedByTheRate(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, timeouts => (timeouts.MinReceiveRate, timeouts.MinReceiveRateGrace) = (10, 5 * Second));
        ByteStreamConnection connection = await ConnectAsync(served);
        long sent = 0;
        for (int i = 0; i < 20; i++)
        {
            connection.Writer.Write("twenty bytes a secon"u8);
            await connection.Writer.DrainAsync(Soon);
            sent += 20;
            await Patience.UntilAsync(() => Received(served), now => now == sent);
            await BeatAsync(1);
        }

        Assert.Equal(400 + 1, (await AskAsync(connection, "\n")).Length);
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Read_IdleBetweenMessages_IsNoSlowMessage(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, timeouts => timeouts.MinReceiveRate = 1000);
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(connection, "1\n"));

        await UntilReadingAsync(2);
        await BeatAsync(60);

        Assert.Equal("2\n", await AskAsync(connection, "2\n"));
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connect_BusyAllTheTime_EndsAtItsLifetime(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, timeouts => timeouts.Lifetime = 5 * Second);
        ByteStreamConnection connection = await ConnectAsync(served);
        for (int i = 0; i < 4; i++)
        {
            Assert.Equal("1\n", await AskAsync(connection, "1\n"));
            await BeatAsync(1);
        }

        await AssertEndsAsync(served, "lifetime_exceeded", notBefore: 1);
    }

    [Fact]
    public async Task WriteEof_TheOtherDirectionStaysOpen_EndsAtTheHalfClosedTimeout()
    {
        var end = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeAsync(Carrier.Own, timeouts => timeouts.HalfClosed = 5 * Second, async (reader, _, stopping) =>
        {
            await reader.ReadAsync(cancellationToken: stopping);
            _begun.SetResult();
            await end.Task;
        });
        ByteStreamConnection connection = await ConnectAsync(served);
        connection.Writer.WriteEof();
        await connection.Writer.DrainAsync(Soon);
        await _begun.Task.WaitAsync(Soon);
        await BeatAsync(1);

        for (int i = 0; i < 4; i++)
        {
            await BeatAsync(1);
            Assert.False(connection.Reader.AtEof);
        }

        await BeatAsync(2);
        // A close delivers what was written and then the end; the handler does not know, and is left alone.
        Assert.Empty(await connection.Reader.ReadAsync(cancellationToken: Soon));
        end.SetResult();
        Assert.Contains("ended: half_closed_timeout.", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F52")]
    public async Task Beat_TheWallClockJumps_NothingEnds(Carrier carrier)
    {
        var clock = new JumpingClock(_time);
        Served served = await ServeAsync(
            carrier,
            builder => builder.UseTelemetry().UseTimeouts(timeouts =>
            {
                timeouts.ReceiveIdle = 5 * Second;
                timeouts.FirstByte = 5 * Second;
                timeouts.Lifetime = 50 * Second;
            }),
            Echo,
            clock);
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(connection, "1\n"));

        clock.Jump = TimeSpan.FromDays(400);
        await BeatAsync(1);
        clock.Jump = TimeSpan.FromDays(-400);
        await BeatAsync(1);

        Assert.Equal("2\n", await AskAsync(connection, "2\n"));
    }

    [Fact]
    public async Task Close_ConnectionIsChecked_LeavesTheHeartbeatBeforeTheNextBeat()
    {
        Served served = await ServeAsync(Carrier.Own, _ => { });
        ByteStreamConnection first = await ConnectAsync(served);
        ByteStreamConnection second = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(first, "1\n"));
        Assert.Equal("2\n", await AskAsync(second, "2\n"));

        await first.DisposeAsync();
        await served.WaitForSummariesAsync(1);
        Assert.Equal(1, Heartbeat.For(_time).Count);
        await second.DisposeAsync();
        await served.WaitForSummariesAsync(2);
        Assert.Equal(0, Heartbeat.For(_time).Count);
    }

    [Fact]
    public async Task Beat_NoConnectionIsLeft_TheHeartStandsStill()
    {
        Served served = await ServeAsync(Carrier.Own, _ => { });
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("1\n", await AskAsync(connection, "1\n"));
        Assert.Equal(1, Heartbeat.For(_time).Count);

        await connection.DisposeAsync();
        await served.WaitForSummariesAsync(1);
        _time.Advance(Second);

        Assert.Equal(0, Heartbeat.For(_time).Count);
    }

    [Theory]
    [InlineData("FirstByte")]
    [InlineData("SendStall")]
    [InlineData("Lifetime")]
    public void Validate_Zero_NamesTheKey(string key)
    {
        var options = new TimeoutOptions();
        typeof(TimeoutOptions).GetProperty(key)!.SetValue(options, TimeSpan.Zero);

        Assert.Equal(
            $"Timeouts:{key}: '00:00:00' is not valid. It takes a time such as 30s or 00:00:30, greater than zero, at most 365d.", Assert.Throws<ArgumentException>(options.Validate).Message);
    }

    private Task<Served> ServeAsync(Carrier carrier, Action<TimeoutOptions> configure, ByteStreamDelegate? handler = null) =>
        ServeAsync(
            carrier,
            builder => builder.UseTelemetry().UseTimeouts(configure),
            (reader, writer, stopping) =>
            {
                _connection = writer.Transport;
                _reads = new ReadWatch(_connection!);
                if (handler is not null)
                {
                    return handler(reader, writer, stopping);
                }

                Task echo = Echo(reader, writer, stopping);
                _begun.TrySetResult();
                return echo;
            },
            _time);

    /// <summary>So many seconds, each with its look.</summary>
    private async Task BeatAsync(int seconds)
    {
        for (int i = 0; i < seconds; i++)
        {
            _time.Advance(Second);
            await Task.Yield();
        }
    }

    /// <summary>It lives for so many seconds more, and ends within two of them.</summary>
    private async Task AssertEndsAsync(Served served, string reason, int notBefore)
    {
        for (int i = 0; i < notBefore; i++)
        {
            Assert.Empty(served.Summaries);
            await BeatAsync(1);
        }

        await BeatAsync(2);
        // A close waits for the peer, which does not close here, until the linger timeout is over, slice by slice.
        while (served.Summaries.Count == 0)
        {
            await Task.Delay(20, Soon);
            await BeatAsync(1);
        }

        Assert.Contains($"ended: {reason}.", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
    }

    /// <summary>So many bytes were received, everything was sent, and the handler reads again: before that a beat sees it at work.</summary>
    private Task UntilReadingAsync(int received) => _reads!.UntilReadingAsync(received);

    private static long Received(Served served) => served.Metrics.Endpoints.Sum(endpoint => endpoint.Bytes().Received);

    private static long Sent(Served served) => served.Metrics.Endpoints.Sum(endpoint => endpoint.Bytes().Sent);

    private async Task<Socket> ConnectSilentAsync(Served served)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
        await socket.ConnectAsync((IPEndPoint)served.EndPoint, Soon);
        return socket;
    }
}
