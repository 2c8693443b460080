using System.Buffers;
using System.Buffers.Binary;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Testing;

/// <summary>
/// What a reader and a writer over any connection do: bytes arrive as they were written, directions end one by one, a close delivers,
/// drains wait for a slow peer, cancelling loses nothing. For whoever writes a transport, or middleware that a connection goes through.
/// The library's own transports keep all of it.
/// </summary>
/// <remarks>For any test framework: each name in <see cref="Cases"/> is a test, and <see cref="RunAsync"/> runs it on a connection of its own.</remarks>
/// <example>
/// With xunit:
/// <code>
/// public sealed class MyTransportTests : StreamContract
/// {
///     public static TheoryData&lt;string&gt; Names =&gt; [.. Cases];
///
///     [Theory, MemberData(nameof(Names))]
///     public Task Holds(string name) =&gt; RunAsync(name, TestContext.Current.CancellationToken);
///
///     protected override async Task&lt;StreamPair&gt; ConnectAsync(CancellationToken cancellationToken) =&gt; ...
/// }
/// </code>
/// </example>
public abstract class StreamContract
{
    private const int MiB = 1 << 20;

    private static readonly ContractCases<StreamPair> All = new(
        (nameof(Write_NothingElseIsCalled_BytesArrive), Write_NothingElseIsCalled_BytesArrive),
        (nameof(Write_AfterWriteEof_Throws), Write_AfterWriteEof_Throws),
        (nameof(Write_FromManyThreads_NeverInterleavesInsideACall), Write_FromManyThreads_NeverInterleavesInsideACall),
        (nameof(WriteLines_EmptyChunksAmongOthers_SendsTheRestInOrder), WriteLines_EmptyChunksAmongOthers_SendsTheRestInOrder),
        (nameof(WriteEof_SendsWhatWasWrittenAndThenTheEnd), WriteEof_SendsWhatWasWrittenAndThenTheEnd),
        (nameof(WriteEof_OnceClosing_DoesNothing), WriteEof_OnceClosing_DoesNothing),
        (nameof(Read_PeerHasEnded_LeavesWritingOpen), Read_PeerHasEnded_LeavesWritingOpen),
        (nameof(Read_Cancelled_LosesNoByte), Read_Cancelled_LosesNoByte),
        (nameof(Drain_PeerDoesNotRead_WaitsUntilItDoes), Drain_PeerDoesNotRead_WaitsUntilItDoes),
        (nameof(Drain_ManyWait_AllAreReleased), Drain_ManyWait_AllAreReleased),
        (nameof(Drain_Cancelled_LosesNoByte), Drain_Cancelled_LosesNoByte),
        (nameof(Drain_PeerResets_Throws), Drain_PeerResets_Throws),
        (nameof(Close_EverythingWrittenArrivesAndThenTheEnd), Close_EverythingWrittenArrivesAndThenTheEnd),
        (nameof(Close_ReaderSeesWhatItHadBufferedAndThenTheEnd), Close_ReaderSeesWhatItHadBufferedAndThenTheEnd),
        (nameof(WaitClosed_CleanClose_ReturnsHoweverOftenItIsAwaited), WaitClosed_CleanClose_ReturnsHoweverOftenItIsAwaited),
        (nameof(WaitClosed_Cancelled_EndsTheWaitOnly), WaitClosed_Cancelled_EndsTheWaitOnly));

    /// <summary>The names of the cases.</summary>
    public static IReadOnlyList<string> Cases => All.Names;

    /// <summary>How long a case may take: 30 s by default, greater than zero.</summary>
    protected virtual TimeSpan Patience => TimeSpan.FromSeconds(30);

    /// <summary>Runs one case on a new connection.</summary>
    /// <param name="name">One of <see cref="Cases"/>.</param>
    /// <param name="cancellationToken">Ends the case.</param>
    /// <returns>When the case has passed.</returns>
    /// <exception cref="ContractException">It has not; the message says what was expected and what was seen.</exception>
    /// <exception cref="ArgumentException">There is no such case.</exception>
    public async Task RunAsync(string name, CancellationToken cancellationToken = default)
    {
        await using StreamPair pair = await ConnectAsync(cancellationToken).ConfigureAwait(false);
        await All.RunAsync(pair, name, Patience, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Makes a connected pair over what is tested. Buffers have a bound, at most 8 MiB in all, or drains never wait.</summary>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <returns>The pair; it is disposed when the case is over.</returns>
    protected abstract Task<StreamPair> ConnectAsync(CancellationToken cancellationToken);

    private static async Task Write_NothingElseIsCalled_BytesArrive(StreamPair pair, CancellationToken soon)
    {
        pair.NearWriter.Write("tick\n");
        Check.Text("tick\n", await pair.FarReader.ReadLineAsync(soon).ConfigureAwait(false));
        pair.FarWriter.Write("tock\n");
        Check.Text("tock\n", await pair.NearReader.ReadLineAsync(soon).ConfigureAwait(false));
    }

    private static async Task Write_AfterWriteEof_Throws(StreamPair pair, CancellationToken soon)
    {
        pair.NearWriter.WriteEof();
        await Check.ThrowsAsync<InvalidOperationException>(() => pair.NearWriter.Write("x"u8)).ConfigureAwait(false);
        await Check.ThrowsAsync<InvalidOperationException>(() => pair.NearWriter.WriteLines([new byte[1]])).ConfigureAwait(false);
        await Check.ThrowsAsync<InvalidOperationException>(() => pair.NearWriter.GetMemory()).ConfigureAwait(false);
    }

    private static async Task Write_FromManyThreads_NeverInterleavesInsideACall(StreamPair pair, CancellationToken soon)
    {
        const int Writers = 8;
        const int Frames = 100;
        Task[] writing = [.. Enumerable.Range(0, Writers).Select(id => Task.Run(WriteFrames(id), soon))];
        int[] seen = new int[Writers];
        for (int i = 0; i < Writers * Frames; i++)
        {
            int length = BinaryPrimitives.ReadInt32BigEndian(await pair.FarReader.ReadExactlyAsync(4, soon).ConfigureAwait(false));
            Check.That(length is >= 1 and <= 9000);
            byte[] body = await pair.FarReader.ReadExactlyAsync(length, soon).ConfigureAwait(false);
            Check.That(body.AsSpan().IndexOfAnyExcept(body[0]) == -1);
            seen[body[0]]++;
        }

        await Task.WhenAll(writing).ConfigureAwait(false);
        Check.That(seen.All(count => count == Frames));

        Func<Task> WriteFrames(int id) => async () =>
        {
            var random = new Random(id);
            for (int i = 0; i < Frames; i++)
            {
                byte[] frame = new byte[4 + random.Next(1, 9000)];
                BinaryPrimitives.WriteInt32BigEndian(frame, frame.Length - 4);
                frame.AsSpan(4).Fill((byte)id);
                switch (i % 3)
                {
                    case 0:
                        pair.NearWriter.Write(frame);
                        break;
                    case 1:
                        pair.NearWriter.WriteLines([frame.AsMemory(0, 4), default, frame.AsMemory(4)]);
                        break;
                    default:
                        pair.NearWriter.Write(new ReadOnlySequence<byte>(frame));
                        break;
                }

                if (i % 10 == 0)
                {
                    await pair.NearWriter.DrainAsync(soon).ConfigureAwait(false);
                }
            }
        };
    }

    private static async Task WriteLines_EmptyChunksAmongOthers_SendsTheRestInOrder(StreamPair pair, CancellationToken soon)
    {
        pair.NearWriter.WriteLines(["a"u8.ToArray(), default, Array.Empty<byte>(), "bc"u8.ToArray(), "\n"u8.ToArray()]);
        pair.NearWriter.WriteLines([]);
        Check.Text("abc\n", await pair.FarReader.ReadLineAsync(soon).ConfigureAwait(false));
    }

    private static async Task WriteEof_SendsWhatWasWrittenAndThenTheEnd(StreamPair pair, CancellationToken soon)
    {
        Check.That(pair.NearWriter.CanWriteEof);
        pair.NearWriter.Write("last words"u8);
        pair.NearWriter.WriteEof();
        pair.NearWriter.WriteEof();
        Check.Text("last words", await pair.FarReader.ReadAsync(cancellationToken: soon).ConfigureAwait(false));
        Check.That(pair.FarReader.AtEof);

        // The other direction goes on.
        pair.FarWriter.Write("reply\n"u8);
        Check.Text("reply\n", await pair.NearReader.ReadLineAsync(soon).ConfigureAwait(false));
        pair.FarWriter.WriteEof();
        Check.Text("", await pair.NearReader.ReadAsync(cancellationToken: soon).ConfigureAwait(false));
    }

    private static async Task WriteEof_OnceClosing_DoesNothing(StreamPair pair, CancellationToken soon)
    {
        pair.NearWriter.Write("x"u8);
        pair.NearWriter.Close();
        pair.NearWriter.WriteEof();
        Check.Text("x", await pair.FarReader.ReadAsync(cancellationToken: soon).ConfigureAwait(false));
    }

    private static async Task Read_PeerHasEnded_LeavesWritingOpen(StreamPair pair, CancellationToken soon)
    {
        pair.NearWriter.Write("question"u8);
        pair.NearWriter.WriteEof();
        Check.Text("question", await pair.FarReader.ReadAsync(cancellationToken: soon).ConfigureAwait(false));
        Check.That(!pair.FarWriter.IsClosing);
        pair.FarWriter.Write("answer\n"u8);
        await pair.FarWriter.DrainAsync(soon).ConfigureAwait(false);
        Check.Text("answer\n", await pair.NearReader.ReadLineAsync(soon).ConfigureAwait(false));
    }

    private static async Task Read_Cancelled_LosesNoByte(StreamPair pair, CancellationToken soon)
    {
        pair.NearWriter.Write("the first half, "u8);
        using (var cancel = CancellationTokenSource.CreateLinkedTokenSource(soon))
        {
            Task<byte[]> read = pair.FarReader.ReadLineAsync(cancel.Token).AsTask();
            await cancel.CancelAsync().ConfigureAwait(false);
            await Check.ThrowsAsync<OperationCanceledException>(() => read).ConfigureAwait(false);
        }

        pair.NearWriter.Write("and the second\n"u8);
        Check.Text("the first half, and the second\n", await pair.FarReader.ReadLineAsync(soon).ConfigureAwait(false));
    }

    private static async Task Drain_PeerDoesNotRead_WaitsUntilItDoes(StreamPair pair, CancellationToken soon)
    {
        Task drain = await FillAsync(pair.NearWriter, soon).ConfigureAwait(false);
        Check.That(!drain.IsCompleted);
        Task<long> read = DiscardAsync(pair.FarReader, soon);
        await drain.ConfigureAwait(false);
        pair.NearWriter.Close();
        Check.That(await read.ConfigureAwait(false) % 65536 == 0);
    }

    private static async Task Drain_ManyWait_AllAreReleased(StreamPair pair, CancellationToken soon)
    {
        Task first = await FillAsync(pair.NearWriter, soon).ConfigureAwait(false);
        Task[] drains = [first, .. Enumerable.Range(0, 50).Select(_ => pair.NearWriter.DrainAsync(soon).AsTask())];
        Check.That(!drains.Any(drain => drain.IsCompleted));
        Task<long> read = DiscardAsync(pair.FarReader, soon);
        await Task.WhenAll(drains).ConfigureAwait(false);
        pair.NearWriter.Close();
        await read.ConfigureAwait(false);
    }

    private static async Task Drain_Cancelled_LosesNoByte(StreamPair pair, CancellationToken soon)
    {
        Task stays = await FillAsync(pair.NearWriter, soon).ConfigureAwait(false);
        using (var cancel = CancellationTokenSource.CreateLinkedTokenSource(soon))
        {
            Task leaves = pair.NearWriter.DrainAsync(cancel.Token).AsTask();
            await cancel.CancelAsync().ConfigureAwait(false);
            await Check.ThrowsAsync<OperationCanceledException>(() => leaves).ConfigureAwait(false);
        }

        Check.That(!stays.IsCompleted);
        Task<long> read = DiscardAsync(pair.FarReader, soon);
        await stays.ConfigureAwait(false);
        pair.NearWriter.Close();
        // Whole blocks only: what the cancelled drain stood for came too.
        Check.That(await read.ConfigureAwait(false) % 65536 == 0);
    }

    private static async Task Drain_PeerResets_Throws(StreamPair pair, CancellationToken soon)
    {
        Task drain = await FillAsync(pair.NearWriter, soon).ConfigureAwait(false);
        pair.FarWriter.Abort();
        await Check.ThrowsAsync<ConnectionResetException>(() => drain).ConfigureAwait(false);
        await Check.ThrowsAsync<ConnectionResetException>(() => pair.NearWriter.DrainAsync(soon).AsTask()).ConfigureAwait(false);
    }

    private static async Task Close_EverythingWrittenArrivesAndThenTheEnd(StreamPair pair, CancellationToken soon)
    {
        byte[] reply = new byte[2 * MiB];
        new Random(7).NextBytes(reply);
        pair.NearWriter.Write(reply);
        pair.NearWriter.Close();
        pair.NearWriter.Close();
        Check.That(pair.NearWriter.IsClosing);
        // The peer still sends, and reads late.
        pair.FarWriter.Write(new byte[100_000]);
        byte[] received = await pair.FarReader.ReadAsync(cancellationToken: soon).ConfigureAwait(false);
        Check.Bytes(reply, received);
        Check.That(pair.FarReader.AtEof);
    }

    private static async Task Close_ReaderSeesWhatItHadBufferedAndThenTheEnd(StreamPair pair, CancellationToken soon)
    {
        pair.FarWriter.Write("one\ntwo\n"u8);
        await pair.FarWriter.DrainAsync(soon).ConfigureAwait(false);
        Check.Text("one\n", await pair.NearReader.ReadLineAsync(soon).ConfigureAwait(false));
        pair.NearWriter.Close();
        Check.Text("two\n", await pair.NearReader.ReadLineAsync(soon).ConfigureAwait(false));
        Check.Text("", await pair.NearReader.ReadLineAsync(soon).ConfigureAwait(false));
        Check.That(pair.NearReader.AtEof);
    }

    private static async Task WaitClosed_CleanClose_ReturnsHoweverOftenItIsAwaited(StreamPair pair, CancellationToken soon)
    {
        Task early = pair.FarWriter.WaitClosedAsync(soon);
        pair.NearWriter.Close();
        Check.Text("", await pair.FarReader.ReadAsync(cancellationToken: soon).ConfigureAwait(false));
        Check.That(!early.IsCompleted);
        pair.FarWriter.Close();
        await early.ConfigureAwait(false);
        await pair.FarWriter.WaitClosedAsync(soon).ConfigureAwait(false);
        await pair.FarWriter.WaitClosedAsync(soon).ConfigureAwait(false);
        await pair.NearWriter.WaitClosedAsync(soon).ConfigureAwait(false);
    }

    private static async Task WaitClosed_Cancelled_EndsTheWaitOnly(StreamPair pair, CancellationToken soon)
    {
        using (var cancel = CancellationTokenSource.CreateLinkedTokenSource(soon))
        {
            Task closed = pair.FarWriter.WaitClosedAsync(cancel.Token);
            await cancel.CancelAsync().ConfigureAwait(false);
            await Check.ThrowsAsync<OperationCanceledException>(() => closed).ConfigureAwait(false);
        }

        pair.NearWriter.Write("alive\n"u8);
        Check.Text("alive\n", await pair.FarReader.ReadLineAsync(soon).ConfigureAwait(false));
    }

    /// <summary>Writes blocks of 64 KiB until a drain waits, which means that every buffer on the way to a peer that does not read is full.</summary>
    private static async Task<Task> FillAsync(ByteStreamWriter writer, CancellationToken soon)
    {
        byte[] block = new byte[65536];
        while (true)
        {
            writer.Write(block);
            Task drain = writer.DrainAsync(soon).AsTask();
            // What the medium takes a moment later is no wait.
            if (await Task.WhenAny(drain, Task.Delay(100, soon)).ConfigureAwait(false) != drain)
            {
                return drain;
            }

            await drain.ConfigureAwait(false);
        }
    }

    private static async Task<long> DiscardAsync(ByteStreamReader reader, CancellationToken soon)
    {
        byte[] buffer = new byte[65536];
        long total = 0;
        while (await reader.ReadAsync(buffer, soon).ConfigureAwait(false) is > 0 and int count)
        {
            total += count;
        }

        return total;
    }
}
