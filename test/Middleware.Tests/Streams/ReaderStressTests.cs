using System.Buffers;
using System.Collections.Concurrent;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>Reads, cancellations, feeding, exceptions and closes from several threads: no hang, no byte lost, doubled or torn.</summary>
public class ReaderStressTests : ReaderTestBase
{
    private const int FrameSize = 8;

    public static TheoryData<string> Sources => ["fed by hand", "pipe", "chunks"];

    [Theory]
    [MemberData(nameof(Sources))]
    [Trait("Contract", "R18")]
    [Trait("Fault", "F16")]
    public async Task Read_CancelledAtRandomMoments_NoByteIsLostOrDoubled(string kind)
    {
        const int cancellations = 34_000;
        var random = new Random(18);
        ReaderSource source = Make(kind, limit: 1 << 30);
        // Byte i of the stream is known, and so is where its lines end.
        long fed = 0;
        long got = 0;
        int cancelled = 0;
        var cancel = new CancellationTokenSource();
        while (cancelled < cancellations)
        {
            if (!cancel.TryReset())
            {
                cancel.Dispose();
                cancel = new CancellationTokenSource();
            }

            Task<byte[]> read = random.Next(6) switch
            {
                0 => source.Reader.ReadAsync(random.Next(1, 9), cancel.Token).AsTask(),
                1 => source.Reader.ReadExactlyAsync(random.Next(1, 40), cancel.Token).AsTask(),
                2 => source.Reader.ReadUntilAsync(new[] { At(13), At(14) }, cancel.Token).AsTask(),
                3 => source.Reader.ReadAsync(-1, cancel.Token).AsTask(),
                4 => Copy(source.Reader.BorrowLineAsync(cancel.Token)),
                _ => source.Reader.ReadLineAsync(cancel.Token).AsTask(),
            };
            Task feeding = Task.CompletedTask;
            if (!read.IsCompleted)
            {
                byte[] chunk = new byte[random.Next(1, 12)];
                for (int i = 0; i < chunk.Length; i++)
                {
                    chunk[i] = At(fed++);
                }

                // Either side may be first: the feeding, on another thread, or the cancellation here.
                int head = random.Next(60);
                if (random.Next(4) == 0)
                {
                    source.Feed(chunk);
                }
                else
                {
                    feeding = Task.Run(() => source.Feed(chunk), Test);
                }

                Thread.SpinWait(head);
                await cancel.CancelAsync();
            }

            await Task.WhenAny(read).WaitAsync(Soon, Test);
            await feeding.WaitAsync(Soon, Test);
            if (read.IsCanceled)
            {
                cancelled++;
                continue;
            }

            Check(await read, ref got);
        }

        source.Finish();
        Check(await source.Reader.ReadAsync(-1, Test).AsTask().WaitAsync(Soon, Test), ref got);
        Assert.Equal(fed, got);
        cancel.Dispose();

        // Every 29th byte is a newline; the rest says where it is.
        static byte At(long position) => position % 29 == 7 ? (byte)'\n' : (byte)(32 + (position % 191));

        static void Check(byte[] bytes, ref long position)
        {
            foreach (byte value in bytes)
            {
                if (value != At(position))
                {
                    Assert.Fail($"Byte {position} is {value} instead of {At(position)}.");
                }

                position++;
            }
        }

        static async Task<byte[]> Copy(ValueTask<ReadOnlySequence<byte>> borrowed) => (await borrowed).ToArray();
    }

    [Theory]
    [MemberData(nameof(Sources))]
    [Trait("Contract", "R17")]
    [Trait("Contract", "R18")]
    [Trait("Fault", "F15")]
    public async Task Read_FromTwoThreadsWithCancellations_EachFrameIsReadOnceAndWhole(string kind)
    {
        const int frames = 60_000;
        ReaderSource source = Make(kind, limit: 65536);
        var got = new ConcurrentDictionary<long, int>();
        var met = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task[] all =
        [
            Task.Run(FeedOnceTheyHaveMet, Test),
            Task.Run(() => ReadFrames(new Random(1)), Test),
            Task.Run(() => ReadFrames(new Random(2)), Test),
        ];

        await Task.WhenAll(all).WaitAsync(TimeSpan.FromSeconds(60), Test);

        Assert.Equal(frames, got.Count);
        Assert.All(got.Values, times => Assert.Equal(1, times));

        async Task FeedOnceTheyHaveMet()
        {
            await met.Task.WaitAsync(Soon, Test);
            await FeedFrames(source, frames);
        }

        async Task ReadFrames(Random random)
        {
            byte[] memory = new byte[FrameSize];
            while (true)
            {
                using var cancel = new CancellationTokenSource();
                Task<byte[]> read = random.Next(3) == 0
                    ? Fill(source.Reader.ReadExactlyAsync(memory.AsMemory(), cancel.Token))
                    : source.Reader.ReadExactlyAsync(FrameSize, cancel.Token).AsTask();
                if (random.Next(8) == 0)
                {
                    Thread.SpinWait(random.Next(100));
                    await cancel.CancelAsync();
                }

                try
                {
                    byte[] frame = await read;
                    long number = BitConverter.ToInt64(frame);
                    got.AddOrUpdate(number >= 0 && number < frames ? number : -1, 1, static (_, times) => times + 1);
                }
                catch (OperationCanceledException)
                {
                    // As the other's collisions: what was not read is read by somebody, some time.
                }
                catch (InvalidOperationException)
                {
                    met.TrySetResult();
                }
                catch (IncompleteReadException error)
                {
                    Assert.Empty(error.Partial);
                    return;
                }
            }

            async Task<byte[]> Fill(ValueTask done)
            {
                await done;
                return memory;
            }
        }
    }

    [Theory]
    [MemberData(nameof(Sources))]
    [Trait("Contract", "R5")]
    public async Task SetException_RacingReadsAndBytes_EndsEveryRead(string kind)
    {
        var random = new Random(5);
        for (int round = 0; round < 3_000; round++)
        {
            ReaderSource source = Make(kind, limit: 65536);
            var stored = new IOException("gone");
            int head = random.Next(80);
            Task failing = Task.Run(
                () =>
                {
                    Thread.SpinWait(head);
                    source.Reader.SetException(stored);
                },
                Test);
            source.Feed("ab");
            using var cancel = new CancellationTokenSource();
            Task<byte[]> read = source.Reader.ReadLineAsync(cancel.Token).AsTask();
            source.Feed("c");
            if (round % 3 == 0)
            {
                await cancel.CancelAsync();
            }

            Exception? thrown = await Record.ExceptionAsync(() => read.WaitAsync(Soon, Test));
            Assert.True(ReferenceEquals(thrown, stored) || thrown is OperationCanceledException, thrown?.ToString());
            await failing.WaitAsync(Soon, Test);
            Assert.Same(stored, await Fails<IOException, byte[]>(source.Reader.ReadAsync(1, Test)));
        }
    }

    [Theory]
    [InlineData("pipe")]
    [InlineData("chunks")]
    public async Task Close_RacingReadsAndBytes_EndsEveryReadAfterWholeBytes(string kind)
    {
        var random = new Random(6);
        for (int round = 0; round < 3_000; round++)
        {
            ReaderSource source = Make(kind, limit: 65536);
            int head = random.Next(80);
            Task closing = Task.Run(
                () =>
                {
                    Thread.SpinWait(head);
                    source.Reader.Close();
                },
                Test);
            Task feeding = Task.Run(() => source.Feed("ab", "c"), Test);
            string got = await Get(source.Reader.ReadLineAsync(Test));
            Assert.StartsWith(got, "abc", StringComparison.Ordinal);
            await Task.WhenAll(closing, feeding).WaitAsync(Soon, Test);
            Assert.Equal("", await Get(source.Reader.ReadAsync(-1, Test)));
            Assert.True(source.Reader.AtEof);
        }
    }

    private static ReaderSource Make(string kind, int limit) => kind switch
    {
        "fed by hand" => new HandFed(limit),
        "pipe" => new OverPipe(limit),
        _ => new OverChunks(limit),
    };

    private static async Task FeedFrames(ReaderSource source, int frames)
    {
        var random = new Random(3);
        byte[] all = new byte[frames * FrameSize];
        for (int i = 0; i < frames; i++)
        {
            BitConverter.TryWriteBytes(all.AsSpan(i * FrameSize), (long)i);
        }

        for (int at = 0; at < all.Length;)
        {
            int length = Math.Min(random.Next(1, 40), all.Length - at);
            await source.FeedAllAsync(all.AsMemory(at, length));
            at += length;
        }

        source.Finish();
    }
}
