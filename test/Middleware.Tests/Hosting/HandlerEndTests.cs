using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>What is logged, and how the connection ends, where an exception escapes from a handler: the peer's doing or its own (S1, S9).</summary>
public sealed class HandlerEndTests : ServedTest
{
    private static readonly ByteStreamDelegate Frames = async (reader, writer, stopping) =>
    {
        while (true)
        {
            byte[] length = await reader.ReadExactlyAsync(1, stopping);
            writer.Write(await reader.ReadExactlyAsync(length[0], stopping));
        }
    };

    [Theory, MemberData(nameof(Carriers))]
    public async Task ReadMessage_LengthOfThePeerIsNegative_HandlerEndsTheConnectionWithoutAnError(Carrier carrier)
    {
        // The examples of ReadMessageAsync and of docs/asyncio.md.
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), async (reader, writer, stopping) =>
        {
            try
            {
                while (true)
                {
                    writer.Write(await reader.ReadMessageAsync<byte[]>(TryParse, stopping));
                    await writer.DrainAsync(stopping);
                }
            }
            catch (InvalidDataException)
            {
                writer.Abort();
            }
        });
        ByteStreamConnection connection = await ConnectAsync(served);
        connection.Writer.Write("\0\0\0\u0002ok"u8);
        Assert.Equal("ok"u8.ToArray(), await connection.Reader.ReadExactlyAsync(2, Soon));

        connection.Writer.Write([0xff, 0xff, 0xff, 0xff]);

        await Assert.ThrowsAsync<ConnectionResetException>(() => connection.Reader.ReadExactlyAsync(1, Soon).AsTask());
        Assert.Contains(" ended: aborted.", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
        Assert.DoesNotContain(served.Log.GetSnapshot(), record => record.Level >= LogLevel.Warning);

        static bool TryParse(ref SequenceReader<byte> input, out byte[] frame)
        {
            frame = [];
            if (!input.TryReadBigEndian(out int length))
            {
                return false;
            }

            if (length is < 0 or > 16384)
            {
                throw new InvalidDataException($"A frame of {length} bytes is not 0 to 16,384.");
            }

            if (!input.TryReadExact(length, out ReadOnlySequence<byte> body))
            {
                return false;
            }

            frame = body.ToArray();
            return true;
        }
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Contract", "S9")]
    public async Task PortScan_HandlerReadsExactly_IsOneLineAtInformation(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), Frames);
        using (var socket = new Socket(SocketType.Stream, ProtocolType.Tcp))
        {
            await socket.ConnectAsync(served.EndPoint, Soon);
            socket.Shutdown(SocketShutdown.Send);
            // A clean end, not a reset.
            Assert.Equal(0, await socket.ReceiveAsync(new byte[1], Soon));
        }

        await AssertOneLineAsync(served, "closed_by_peer", 410, "The stream ended after 0 of 1 expected bytes.");
    }

    [Fact, Trait("Contract", "S1")]
    public async Task IncompleteRead_BetweenTwoMessages_WhatWasWrittenIsDelivered()
    {
        Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry(), Frames);
        ByteStreamConnection client = await ConnectAsync(served);
        client.Writer.Write("\u0005hello\u0005world"u8);
        client.Writer.WriteEof();

        Assert.Equal("helloworld", Text(await client.Reader.ReadAsync(cancellationToken: Soon)));
        await AssertOneLineAsync(served, "closed_by_peer", 410, "The stream ended after 0 of 1 expected bytes.");
    }

    [Fact, Trait("Contract", "S1")]
    public async Task IncompleteRead_BetweenTwoParsedMessages_IsACleanEnd()
    {
        Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry(), async (reader, writer, stopping) =>
        {
            while (true)
            {
                writer.Write(await reader.ReadUntilAsync(";"u8.ToArray(), stopping));
                await writer.DrainAsync(stopping);
            }
        });
        ByteStreamConnection client = await ConnectAsync(served);
        client.Writer.Write("one;"u8);
        client.Writer.WriteEof();

        Assert.Equal("one;", Text(await client.Reader.ReadAsync(cancellationToken: Soon)));
        await AssertOneLineAsync(served, "closed_by_peer", 410, "The stream ended after 0 bytes, before the separator or the whole message that the read waits for.");
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Contract", "S1")]
    public async Task IncompleteRead_InTheMiddleOfAMessage_IsAResetAndOneLineAtInformation(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), Frames);
        ByteStreamConnection client = await ConnectAsync(served);
        client.Writer.Write("\u0005hel"u8);
        client.Writer.WriteEof();

        await Assert.ThrowsAsync<ConnectionResetException>(async () => await client.Reader.ReadAsync(cancellationToken: Soon));
        await AssertOneLineAsync(served, "incomplete_message", 410, "The stream ended after 3 of 5 expected bytes.");
    }

    [Fact, Trait("Contract", "S5")]
    public async Task IncompleteRead_TheServerClosesItsClients_IsACleanEnd()
    {
        var reading = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry(), async (reader, writer, _) =>
        {
            writer.Write("hello"u8);
            Task<byte[]> read = reader.ReadExactlyAsync(1, CancellationToken.None).AsTask();
            reading.SetResult();
            await read;
        });
        ByteStreamConnection client = await ConnectAsync(served);
        await reading.Task.WaitAsync(Soon);

        served.Server.CloseClients();

        Assert.Equal("hello", Text(await client.Reader.ReadAsync(cancellationToken: Soon)));
        client.Writer.Close();
        await AssertOneLineAsync(served, "closed_locally", 410, "The stream ended after 0 of 1 expected bytes.");
    }

    [Fact, Trait("Contract", "S5")]
    public async Task CloseClients_ADrainWaits_WhatWasWrittenIsDelivered()
    {
        byte[] reply = new byte[8 << 20];
        new Random(1).NextBytes(reply);
        var draining = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry(), async (_, writer, _) =>
        {
            writer.Write(reply);
            Task drain = writer.DrainAsync(CancellationToken.None).AsTask();
            draining.SetResult();
            await drain;
        });
        ByteStreamConnection client = await ConnectAsync(served);
        await draining.Task.WaitAsync(Soon);

        served.Server.CloseClients();

        Assert.Equal(reply, await client.Reader.ReadAsync(cancellationToken: Soon));
        client.Writer.Close();
        await AssertOneLineAsync(served, "closed_locally", 401, "The connection was closed from this side.");
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Contract", "S1")]
    public async Task IncompleteRead_OfAnotherConnection_IsTheHandlersOwnError(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), async (reader, _, stopping) =>
        {
            await reader.ReadLineAsync(stopping);
            var backend = new ByteStreamReader(PipeReader.Create(Stream.Null));
            await backend.ReadExactlyAsync(4, stopping);
        });
        ByteStreamConnection client = await ConnectAsync(served);
        client.Writer.Write("go\n"u8);
        await IgnoreAsync(client);

        await AssertErrorAsync<IncompleteReadException>(served, "handler_error");
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Contract", "S1")]
    public async Task IncompleteRead_WrappedByTheHandler_IsTheHandlersOwnError(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), async (reader, _, stopping) =>
        {
            try
            {
                await reader.ReadExactlyAsync(4, stopping);
            }
            catch (IncompleteReadException end)
            {
                throw new InvalidDataException("no header", end);
            }
        });
        ByteStreamConnection client = await ConnectAsync(served);
        client.Writer.WriteEof();
        await IgnoreAsync(client);

        await AssertErrorAsync<InvalidDataException>(served, "handler_error");
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Contract", "S1")]
    public async Task LimitOverrun_OfThePeersLine_IsAResetAndOneLineAtInformation(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), Echo);
        ByteStreamConnection client = await ConnectAsync(served);
        client.Writer.Write(new byte[200_000]);
        await IgnoreAsync(client);

        await AssertOneLineAsync(served, "limit_exceeded", 411, "bytes without a newline are over the limit of 65536.");
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Contract", "S1")]
    public async Task LimitOverrun_OfAnotherReader_IsTheHandlersOwnError(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), async (reader, _, stopping) =>
        {
            await reader.ReadLineAsync(stopping);
            var backend = new ByteStreamReader(PipeReader.Create(new MemoryStream(new byte[100])), limit: 10);
            await backend.ReadLineAsync(stopping);
        });
        ByteStreamConnection client = await ConnectAsync(served);
        client.Writer.Write("go\n"u8);
        await IgnoreAsync(client);

        await AssertErrorAsync<LimitOverrunException>(served, "limit_exceeded");
    }

    [Fact, Trait("Contract", "S9")]
    public async Task Reset_MiddlewareReads_IsOneLineAtInformation()
    {
        var reading = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry().Use(next => async context =>
        {
            ValueTask<ReadResult> read = context.Transport.Input.ReadAsync(Soon);
            reading.SetResult();
            context.Transport.Input.AdvanceTo((await read).Buffer.Start);
            await next(context);
        }), Echo);
        using (var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { LingerState = new LingerOption(true, 0) })
        {
            await socket.ConnectAsync(served.EndPoint, Soon);
            await reading.Task.WaitAsync(Soon);
        }

        await AssertOneLineAsync(served, "reset_by_peer", 401, "reset");
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Contract", "R22")]
    public async Task ReadFrame_HostileLengthOrNoFrame_IsAResetAndOneLineAtInformation(Carrier carrier)
    {
        Framing framing = Framing.Varint(100);
        foreach ((byte[] bytes, string reason, int id, string text) in new (byte[], string, int, string)[]
        {
            ([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], "frame_too_long", 411, "A frame of 18446744073709551615 bytes is longer than the maximum of 100."),
            ([0x80, 0x00], "invalid_frame", 412, "A varint length of 0 has 2 bytes, more than it needs."),
        })
        {
            Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), async (reader, writer, stopping) =>
            {
                while (await reader.ReadFrameAsync(framing, stopping) is byte[] frame)
                {
                    writer.WriteFrame(framing, frame);
                }
            });
            ByteStreamConnection client = await ConnectAsync(served);
            client.Writer.WriteFrame(framing, "hello"u8);
            Assert.Equal("hello", Text((await client.Reader.ReadFrameAsync(framing, Soon))!));

            client.Writer.Write(bytes);

            await Assert.ThrowsAsync<ConnectionResetException>(async () => await client.Reader.ReadFrameAsync(framing, Soon));
            await AssertOneLineAsync(served, reason, id, text);
        }
    }

    [Fact, Trait("Contract", "R22")]
    public async Task ReadFrame_LongFrameByEachFraming_ArrivesWholeOverASocket()
    {
        // Longer than the reader's limit and than the largest block that is received.
        byte[] content = new byte[1_000_000];
        Array.Fill(content, (byte)'x');
        foreach (Framing framing in new[]
        {
            Framing.Delimited("\r\n"u8, content.Length), Framing.LengthPrefixed(4, maxLength: content.Length), Framing.Varint(content.Length),
            Framing.Netstring(content.Length), Framing.ContentLength(content.Length), Framing.Fixed(content.Length),
        })
        {
            Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry(), async (reader, writer, stopping) =>
            {
                while (await reader.WaitToReadAsync(stopping))
                {
                    while (reader.TryReadFrame(framing, out ReadOnlySequence<byte> frame))
                    {
                        writer.WriteFrame(framing, frame);
                        await writer.DrainAsync(stopping);
                    }
                }
            });
            ByteStreamConnection client = await ConnectAsync(served);
            client.Writer.WriteFrame(framing, content);
            client.Writer.WriteFrame(framing, content);
            client.Writer.WriteEof();

            Assert.Equal(content, await client.Reader.ReadFrameAsync(framing, Soon));
            Assert.Equal(content, await client.Reader.ReadFrameAsync(framing, Soon));
            Assert.Null(await client.Reader.ReadFrameAsync(framing, Soon));
        }
    }

    /// <summary>Reads to whatever end there is.</summary>
    private async Task IgnoreAsync(ByteStreamConnection client) =>
        await Record.ExceptionAsync(async () => await client.Reader.ReadAsync(cancellationToken: Soon));

    private static async Task AssertOneLineAsync(Served served, string reason, int id, string text)
    {
        Assert.Equal(reason, Assert.Single(await served.WaitForSummariesAsync(1)).GetStructuredStateValue("Reason"));
        FakeLogRecord line = Assert.Single(Logged(served));
        Assert.Equal((LogLevel.Information, id), (line.Level, line.Id.Id));
        Assert.Contains(text, line.Message, StringComparison.OrdinalIgnoreCase);
        Assert.Null(line.Exception);
    }

    private static async Task AssertErrorAsync<TException>(Served served, string reason)
    {
        Assert.Equal(reason, Assert.Single(await served.WaitForSummariesAsync(1)).GetStructuredStateValue("Reason"));
        FakeLogRecord line = Assert.Single(Logged(served));
        Assert.Equal((LogLevel.Error, 400), (line.Level, line.Id.Id));
        Assert.IsType<TException>(line.Exception);
    }

    /// <summary>At Information and above, without the summaries.</summary>
    private static IEnumerable<FakeLogRecord> Logged(Served served) => served.Log.GetSnapshot().Where(record =>
        record.Level >= LogLevel.Information && record.Id.Id != 700 && record.Category!.StartsWith("ByteStreams", StringComparison.Ordinal));
}
