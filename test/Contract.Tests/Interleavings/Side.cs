using System.Buffers;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Contract.Tests.Interleavings;

/// <summary>One end of a scenario's connection: it writes frames from several tasks, and reads what the other end writes.</summary>
internal sealed class Side(string name, int seed, ByteStreamReader reader, ByteStreamWriter writer)
{
    private readonly uint[] _written = new uint[Scenario.Writers];
    private uint[]? _due;
    private volatile bool _stop;

    public string Name => name;

    public ByteStreamReader Reader => reader;

    public ByteStreamWriter Writer => writer;

    public Frames Received { get; } = new();

    /// <summary>Whether its reader has come to the end of the stream, and not to an error.</summary>
    public bool SawEnd { get; private set; }

    /// <summary>What its reader met instead.</summary>
    public Exception? ReadError { get; private set; }

    /// <summary>What the other end has to receive at least, where this one ended in order: what was written before the end began.</summary>
    public IReadOnlyList<uint> Due => _due ?? _written;

    private IByteStreamTransportFeature Link => writer.Transport!.Features.Get<IByteStreamTransportFeature>()!;

    public override string ToString() =>
        $"{name}: {reader}, received {Link.BytesReceived}, sent {Link.BytesSent}, to send {Link.WriteBufferSize}, {Link.CloseReason}";

    /// <summary>Called before this side's direction is ended in order.</summary>
    public void NoteEnd() => _due ??= [.. _written.Select(static (_, i) => i).Select(i => Volatile.Read(ref _written[i]))];

    /// <summary>Its writers come to an end.</summary>
    public void Stop() => _stop = true;

    public async Task WriteAsync(int id, CancellationToken late)
    {
        var random = new Random(seed + (id * 1000));
        uint frames = (uint)random.Next(1, 40);
        for (uint i = 0; i < frames && !_stop; i++)
        {
            byte[] frame = Frames.Make(id, i, random.Next(20) switch { 0 => 70_000, 1 => 17_000, < 5 => random.Next(5_000), _ => random.Next(100) });
            try
            {
                Write(random, frame);
                // Closed or lost means dropped: then it was not written.
                if (writer.IsClosing)
                {
                    return;
                }

                Volatile.Write(ref _written[id], i + 1);
                if (random.Next(3) == 0)
                {
                    await DrainAsync(random, late);
                }
            }
            catch (Exception end) when (end is IOException or ConnectionAbortedException or InvalidOperationException or Scenario.StoredException)
            {
                // Lost, closed, or behind WriteEof: the checker sees whether that was in order.
                return;
            }

            await Scenario.PauseAsync(random);
        }
    }

    /// <param name="borrows">Whether it may borrow: what is lent must not be looked at once the connection is disposed.</param>
    /// <param name="late">The scenario has taken too long.</param>
    public async Task ReadAsync(bool borrows, CancellationToken late)
    {
        var random = new Random(seed + 7);
        try
        {
            while (await ReadSomeAsync(random, borrows, late))
            {
                await Scenario.PauseAsync(random);
            }

            SawEnd = true;
        }
        catch (Exception error) when (error is IOException or ConnectionAbortedException or Scenario.StoredException)
        {
            ReadError = error;
        }
    }

    private void Write(Random random, byte[] frame)
    {
        int cut = random.Next(frame.Length);
        switch (random.Next(3))
        {
            case 0:
                writer.Write(frame);
                break;
            case 1:
                writer.WriteLines([frame.AsMemory(0, cut), frame.AsMemory(cut)]);
                break;
            default:
                var first = new Segment(frame.AsMemory(0, cut));
                Segment last = first.Append(frame.AsMemory(cut));
                writer.Write(new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length));
                break;
        }
    }

    private async Task DrainAsync(Random random, CancellationToken late)
    {
        if (random.Next(4) != 0)
        {
            await writer.DrainAsync(late);
            return;
        }

        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(late);
        Task drain = writer.DrainAsync(cancel.Token).AsTask();
        await Scenario.PauseAsync(random);
        await cancel.CancelAsync();
        try
        {
            await drain;
        }
        catch (OperationCanceledException cancelled) when (cancelled is not ConnectionAbortedException && !late.IsCancellationRequested)
        {
            // As it was asked to.
        }
    }

    /// <summary>Reads in one of all ways, and answers whether there is more.</summary>
    private async Task<bool> ReadSomeAsync(Random random, bool borrows, CancellationToken late)
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(late);
        bool disturbed = random.Next(5) == 0;
        bool twice = disturbed && random.Next(3) == 0;
        // What is lent is good until the next read begins: until then it has to be copied, which another task does.
        Task<byte[]> read = Begin(random, borrows && !twice, cancel.Token);
        Task<byte[]>? second = null;
        if (disturbed)
        {
            await Scenario.PauseAsync(random);
            if (twice)
            {
                // More than there is: it waits, and so must not while another does.
                second = reader.ReadExactlyAsync(1 << 30, cancel.Token).AsTask();
            }

            await cancel.CancelAsync();
        }

        if (second is not null)
        {
            // Where the first one fails, nobody asks how the second has ended.
            await Task.WhenAll((Task)read, second).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        bool isEnd = await TakeAsync(read, late);
        return second is null ? !isEnd : !await TakeAsync(second, late) && !isEnd;
    }

    private Task<byte[]> Begin(Random random, bool borrows, CancellationToken token)
    {
        switch (random.Next(8))
        {
            case 0:
                return reader.ReadExactlyAsync(random.Next(1, 300), token).AsTask();
            case 1 when borrows:
                return Copy(reader.BorrowAsync(token));
            case 2 when borrows:
                return Copy(reader.BorrowExactlyAsync(random.Next(1, 3000), token));
            case 3:
                return reader.ReadUntilAsync(new byte[] { 10 }, token).AsTask();
            case 4:
                byte[] memory = new byte[random.Next(1, 9000)];
                return Fill(reader.ReadAsync(memory.AsMemory(), token), memory);
            default:
                return reader.ReadAsync(random.Next(1, 100_000), token).AsTask();
        }

        static async Task<byte[]> Copy(ValueTask<ReadOnlySequence<byte>> borrow) => (await borrow.ConfigureAwait(false)).ToArray();

        static async Task<byte[]> Fill(ValueTask<int> read, byte[] memory) => memory[..await read.ConfigureAwait(false)];
    }

    /// <summary>Adds what a read has brought; answers whether it was the end.</summary>
    private async Task<bool> TakeAsync(Task<byte[]> read, CancellationToken late)
    {
        try
        {
            byte[] bytes = await read;
            Received.Add(bytes);
            return bytes.Length == 0 && reader.AtEof;
        }
        catch (IncompleteReadException end)
        {
            Received.Add(end.Partial);
            return true;
        }
        catch (LimitOverrunException)
        {
            // Nothing was taken; another way to read will.
            return false;
        }
        catch (OperationCanceledException cancelled) when (cancelled is not ConnectionAbortedException && !late.IsCancellationRequested)
        {
            return false;
        }
        catch (InvalidOperationException two) when (two.Message.Contains("while", StringComparison.Ordinal))
        {
            // Two reads at once: one of them was told.
            return false;
        }
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory) => Memory = memory;

        public Segment Append(ReadOnlyMemory<byte> memory)
        {
            var next = new Segment(memory) { RunningIndex = RunningIndex + Memory.Length };
            Next = next;
            return next;
        }
    }
}
