using System.Buffers;
using System.Diagnostics;
using System.IO.Pipelines;
using System.Net;
using System.Reflection;
using ByteStreams.Transport;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>What the steady path of ReadLine + Write + Drain allocates. Alone, because the second half counts the whole process.</summary>
[Collection(nameof(ReaderAllocationTests))]
[CollectionDefinition(nameof(ReaderAllocationTests), DisableParallelization = true)]
public class ReaderAllocationTests : ReaderTestBase
{
    private const int Messages = 100_000;
    private const int Burst = 1_000;

    private static readonly byte[] Line = Bytes(new string('x', 63) + "\n");

    [Theory]
    [InlineData("ReadLine")]
    [InlineData("ReadUntil")]
    [InlineData("ReadExactly")]
    [InlineData("BorrowLine")]
    [InlineData("BorrowUntil")]
    [InlineData("BorrowUntil of several")]
    [InlineData("BorrowExactly")]
    [InlineData("ReadExactly into memory")]
    [InlineData("ReadMessage")]
    [InlineData("TryReadLine")]
    [InlineData("TryReadUntil")]
    [InlineData("TryReadUntil of several")]
    [InlineData("TryReadUntil of many")]
    [InlineData("TryReadExactly")]
    [InlineData("TryReadMessage")]
    [InlineData("ReadFrame")]
    [InlineData("BorrowFrame")]
    [InlineData("TryReadFrame")]
    public void ReadAndWrite_EverythingBuffered_AllocatesOnlyTheReturnedArray(string kind)
    {
        var input = new Pipe(Unpaused());
        var output = new Pipe(Unpaused());
        var reader = new ByteStreamReader(input.Reader);
        var writer = new ByteStreamWriter(output.Writer, reader);
        byte[] memory = new byte[Line.Length];
        byte[] newline = [(byte)'\n'];
        ReadOnlyMemory<byte>[] separators = [newline, new byte[] { (byte)'\r', (byte)'\n' }];
        IReadOnlyList<ReadOnlyMemory<byte>> several = separators;
        // Longest first, so that the reader has to sort them, and more than one pass for each is worth.
        IReadOnlyList<ReadOnlyMemory<byte>> unsorted = [.. separators.Reverse()];
        IReadOnlyList<ReadOnlyMemory<byte>> many = [.. Separators("1", "22", "333", "4444"), .. separators];
        Framing framing = Framing.Delimited("\n"u8);
        MessageParser<int> parser = static (ref SequenceReader<byte> buffered, out int length) =>
            buffered.TryAdvanceTo((byte)'\n') & (length = (int)buffered.Consumed) > 0;
        // A frame has no delimiter; an array of 63 bytes takes as much as one of 64.
        long array = Measure(static () => GC.KeepAlive(new byte[64]));

        Exchange(20);
        long allocated = Exchange(Messages / Burst);

        bool owned = kind is "ReadLine" or "ReadUntil" or "ReadExactly" or "ReadFrame";
        // The runtime allocates a little once when it compiles a hot method anew; a byte for every tenth message would be too much.
        Assert.InRange(allocated - (owned ? Messages * array : 0), 0, Messages / 10);

        long Exchange(int bursts)
        {
            long sum = 0;
            for (int burst = 0; burst < bursts; burst++)
            {
                // One more than is counted: the first read of a burst takes it from the pipe.
                for (int i = 0; i <= Burst; i++)
                {
                    input.Writer.Write(Line);
                }

                Finish(input.Writer.FlushAsync());
                Echo();
                long before = GC.GetAllocatedBytesForCurrentThread();
                for (int i = 0; i < Burst; i++)
                {
                    Echo();
                }

                sum += GC.GetAllocatedBytesForCurrentThread() - before;
                Assert.True(output.Reader.TryRead(out ReadResult sent));
                Assert.Equal((Burst + 1) * Line.Length, sent.Buffer.Length);
                output.Reader.AdvanceTo(sent.Buffer.End);
            }

            return sum;
        }

        void Echo()
        {
            switch (kind)
            {
                case "ReadLine":
                    writer.Write(Now(reader.ReadLineAsync()));
                    break;
                case "ReadUntil":
                    writer.Write(Now(reader.ReadUntilAsync(newline)));
                    break;
                case "ReadExactly":
                    writer.Write(Now(reader.ReadExactlyAsync(Line.Length)));
                    break;
                case "BorrowLine":
                    writer.Write(Now(reader.BorrowLineAsync()));
                    break;
                case "BorrowUntil":
                    writer.Write(Now(reader.BorrowUntilAsync(newline)));
                    break;
                case "BorrowUntil of several":
                    writer.Write(Now(reader.BorrowUntilAsync(several)));
                    break;
                case "BorrowExactly":
                    writer.Write(Now(reader.BorrowExactlyAsync(Line.Length)));
                    break;
                case "ReadExactly into memory":
                    Finish(reader.ReadExactlyAsync(memory.AsMemory()));
                    writer.Write(memory);
                    break;
                case "ReadMessage":
                    writer.Write(memory.AsSpan(0, Now(reader.ReadMessageAsync(parser))));
                    break;
                case "ReadFrame":
                    writer.WriteFrame(framing, Now(reader.ReadFrameAsync(framing)));
                    break;
                case "BorrowFrame":
                    writer.WriteFrame(framing, Now(reader.BorrowFrameAsync(framing))!.Value);
                    break;
                case "TryReadFrame":
                    Assert.True(Now(reader.WaitToReadAsync()));
                    Assert.True(reader.TryReadFrame(framing, out ReadOnlySequence<byte> frame));
                    writer.WriteFrame(framing, frame);
                    break;
                default:
                    Assert.True(Now(reader.WaitToReadAsync()));
                    writer.Write(Try());
                    break;
            }

            Finish(writer.DrainAsync());
        }

        ReadOnlySequence<byte> Try()
        {
            ReadOnlySequence<byte> line;
            bool any = kind switch
            {
                "TryReadLine" => reader.TryReadLine(out line),
                "TryReadUntil" => reader.TryReadUntil(newline, out line),
                "TryReadUntil of several" => reader.TryReadUntil(unsorted, out line),
                "TryReadUntil of many" => reader.TryReadUntil(many, out line),
                "TryReadExactly" => reader.TryReadExactly(Line.Length, out line),
                _ => TryMessage(out line),
            };
            Assert.True(any);
            return line;
        }

        bool TryMessage(out ReadOnlySequence<byte> message)
        {
            bool any = reader.TryReadMessage(parser, out int length);
            message = new ReadOnlySequence<byte>(memory, 0, length);
            return any;
        }
    }

    /// <summary>Calls that find no whole message and are repeated when more was received: the search is kept in the reader.</summary>
    [Fact]
    public void Try_MessagesInTwoParts_AllocatesNothing()
    {
        var input = new Pipe(Unpaused());
        var reader = new ByteStreamReader(input.Reader);
        byte[] end = [(byte)'\r', (byte)'\n'];
        byte[] otherEnd = [(byte)';'];
        byte[] message = Bytes("0123456789ab\n0123456789ab\r\n0123456789ab;0123456789ab");
        // The waits are not counted: in a debug build their state machines are objects.
        long waits = 0;
        Exchange(2_000);

        waits = 0;
        long before = GC.GetAllocatedBytesForCurrentThread();
        Exchange(20_000);

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before - waits, 0, 2_000);

        void Exchange(int messages)
        {
            for (int i = 0; i < messages; i++)
            {
                Feed(message.AsSpan(0, 5));
                Assert.False(reader.TryReadLine(out _));
                Feed(message.AsSpan(5, 20));
                Assert.True(reader.TryReadLine(out _));
                Assert.False(reader.TryReadUntil(end, out _));
                Feed(message.AsSpan(25, 10));
                Assert.True(reader.TryReadUntil(end, out _));
                Assert.False(reader.TryReadUntil(otherEnd, out _));
                Feed(message.AsSpan(35, 10));
                Assert.True(reader.TryReadUntil(otherEnd, out _));
                Assert.False(reader.TryReadExactly(12, out _));
                Feed(message.AsSpan(45));
                Assert.True(reader.TryReadExactly(12, out _));
            }
        }

        void Feed(ReadOnlySpan<byte> bytes)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            input.Writer.Write(bytes);
            Finish(input.Writer.FlushAsync());
            Assert.True(Now(reader.WaitToReadAsync()));
            waits += GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    /// <summary>
    /// Reads that wait, over real sockets, both ends counted. A debug build's async methods allocate their state machines, one for
    /// each wait: there the bound only says that nothing large is allocated for a message.
    /// </summary>
    [Theory]
    [InlineData("ReadLine")]
    [InlineData("BorrowLine")]
    [InlineData("TryReadLine")]
    public async Task PingPong_OverTcp_AllocatesOnlyTheReturnedArray(string kind)
    {
        bool borrow = kind != "ReadLine";
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            (reader, writer) => kind switch
            {
                "ReadLine" => EchoOwned(reader, writer),
                "BorrowLine" => EchoBorrowed(reader, writer),
                _ => EchoBatches(reader, writer),
            },
            "127.0.0.1", 0, cancellationToken: Test);
        int port = ((IPEndPoint)server.EndPoints[0]).Port;
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync("127.0.0.1", port, cancellationToken: Test);
        int messages = Optimized ? Messages : Messages / 5;
        await PlayAsync(client, messages / 5).WaitAsync(TimeSpan.FromSeconds(60), Test);

        long before = GC.GetTotalAllocatedBytes(precise: true);
        await PlayAsync(client, messages).WaitAsync(TimeSpan.FromSeconds(60), Test);
        double perMessage = (GC.GetTotalAllocatedBytes(precise: true) - before) / (double)messages;

        double array = borrow ? 0 : Measure(static () => GC.KeepAlive(new byte[64]));
        TestContext.Current.SendDiagnosticMessage("{0}: {1:F2} bytes a message over the array", kind, perMessage - array);
        // The smallest object is 24 bytes: 4 a message is what the runtime itself needs now and then, and the test runner.
        Assert.InRange(perMessage - array, -1, Optimized ? 4 : 2048);
    }

    [Fact]
    public void Write_OftenInOneDispatchInWhichAnotherWroteFirst_AllocatesNothingForEachWrite()
    {
        var pipe = new Pipe(Unpaused());
        var writer = new ByteStreamWriter(pipe.Writer);
        var first = new ByteStreamWriter(new Pipe(Unpaused()).Writer);
        var dispatch = new LoopDispatch();
        LoopDispatch.Begin(dispatch);
        try
        {
            first.Write("a"u8);
            writer.Write("b"u8);
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 1000; i++)
            {
                writer.Write("c"u8);
            }

            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1000);
        }
        finally
        {
            LoopDispatch.Begin(null);
        }

        dispatch.End();
        Assert.True(pipe.Reader.TryRead(out ReadResult sent));
        Assert.Equal(1001, sent.Buffer.Length);
    }

    private static bool Optimized =>
        typeof(ByteStreamReader).Assembly.GetCustomAttribute<DebuggableAttribute>() is not { IsJITOptimizerDisabled: true };

    private static async Task PlayAsync(ByteStreamConnection client, int messages)
    {
        for (int i = 0; i < messages; i++)
        {
            client.Writer.Write(Line);
            await client.Writer.DrainAsync();
            ReadOnlySequence<byte> line = await client.Reader.BorrowLineAsync();
            if (line.Length != Line.Length)
            {
                throw new InvalidDataException($"{line.Length} bytes came back for {Line.Length}.");
            }
        }
    }

    private static async Task EchoOwned(ByteStreamReader reader, ByteStreamWriter writer)
    {
        while (await reader.ReadLineAsync() is { Length: > 0 } line)
        {
            writer.Write(line);
            await writer.DrainAsync();
        }
    }

    private static async Task EchoBorrowed(ByteStreamReader reader, ByteStreamWriter writer)
    {
        while (await reader.BorrowLineAsync() is { Length: > 0 } line)
        {
            writer.Write(line);
            await writer.DrainAsync();
        }
    }

    private static async Task EchoBatches(ByteStreamReader reader, ByteStreamWriter writer)
    {
        while (await reader.WaitToReadAsync())
        {
            while (reader.TryReadLine(out ReadOnlySequence<byte> line))
            {
                writer.Write(line);
            }

            await writer.DrainAsync();
        }
    }

    private static PipeOptions Unpaused() => new(pauseWriterThreshold: 0, useSynchronizationContext: false);

    private static long Measure(Action allocate)
    {
        allocate();
        long before = GC.GetAllocatedBytesForCurrentThread();
        allocate();
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    /// <summary>The result of a read that must have it already.</summary>
    private static T Now<T>(ValueTask<T> read)
    {
        Assert.True(read.IsCompletedSuccessfully);
        return read.GetAwaiter().GetResult();
    }

    private static void Finish(ValueTask done)
    {
        Assert.True(done.IsCompletedSuccessfully);
        done.GetAwaiter().GetResult();
    }

    private static void Finish(ValueTask<FlushResult> done) => Now(done);
}
