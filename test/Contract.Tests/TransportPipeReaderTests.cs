using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Contract.Tests;

/// <summary>The rules of a PipeReader, and of the memory under it.</summary>
public sealed class TransportPipeReaderTests : IInputOwner
{
    private readonly ScriptedChannel _channel = new();
    private readonly List<Exception?> _ends = [];
    private readonly TransportPipeReader _reader;

    public TransportPipeReaderTests() => _reader = new TransportPipeReader(_channel, 65536, this);

    private long _room = long.MaxValue;
    private int _bounds;

    long IInputOwner.AnswerCapacity => _room;

    long IInputOwner.BufferedOutput => 0;

    void IInputOwner.OnInputBegun()
    {
    }

    void IInputOwner.OnInputEnded(Exception? loss) => _ends.Add(loss);

    void IInputOwner.OnDiscarded() => _bounds++;

    void IInputOwner.OnLossReported() => Assert.Fail("The scripted channel reports no loss.");

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Read_BytesAreThere_ReturnsThemAtOnce()
    {
        _channel.Deliver("abc"u8.ToArray());
        ValueTask<ReadResult> read = _reader.ReadAsync(Test);
        Assert.True(read.IsCompleted);
        ReadResult result = await read;
        Assert.Equal("abc", Text(result.Buffer));
        Assert.False(result.IsCompleted);
        Assert.Equal(3, _reader.Driver.BytesReceived);
    }

    [Fact]
    public async Task Read_NothingThere_HoldsNoBufferWhileItWaits()
    {
        Task<ReadResult> read = _reader.ReadAsync(Test).AsTask();
        Assert.True(_channel.IsWaitPending);
        Assert.Null(_channel.Block);
        _channel.Deliver(1);
        Assert.Equal(1, (await Soon(read)).Buffer.Length);
    }

    [Theory, Trait("Fault", "F64")]
    [InlineData(0)]
    [InlineData(8 << 20)]
    public void FailAfterReceived_ThePeerGoesOnSending_TakesWhatHasArrived(int arrived)
    {
        var channel = new EndlessChannel(arrived);
        var reader = new TransportPipeReader(channel, 65536, this);
        Assert.True(reader.Driver.FailAfterReceived(new ConnectionResetException("reset")));
        Assert.InRange(reader.Driver.BytesReceived, arrived, arrived + (1 << 20));
        reader.Complete();
    }

    /// <summary>A peer that sends as fast as its bytes are received, such as one whose own receiving is shut down on a Unix socket.</summary>
    private sealed class EndlessChannel(int arrived) : ByteChannel
    {
        private long _received;

        public override long Arrived => arrived;

        public override bool TryReceive(Span<byte> destination, out int received, out Exception? loss)
        {
            (received, loss) = (destination.Length, null);
            _received += received;
            Assert.InRange(_received, 0, 64 << 20);
            return true;
        }

        public override ValueTask<int> SendAsync(ReadOnlySequence<byte> source) => throw new NotSupportedException();

        public override ValueTask ShutdownSendAsync() => throw new NotSupportedException();

        public override void Reset()
        {
        }

        public override void Close()
        {
        }
    }

    [Fact, Trait("Fault", "F64")]
    public async Task Advance_ASendFailedAndTheReceiveInFlightMetTheEnd_TheBufferIsStillTheReaders()
    {
        _channel.Deliver(new byte[4096]);
        _reader.Driver.Unread.Watch(65536);
        // The block was filled: a receive into the next one is in flight, and that is where the buffer ends.
        Assert.True(_channel.IsReceivePending);
        ReadOnlySequence<byte> buffer = (await _reader.ReadAsync(Test)).Buffer;
        _channel.HasUnheard = true;
        Assert.False(_reader.Driver.FailAfterReceived(new ConnectionResetException("reset")));

        _channel.End();

        Assert.Single(_ends);
        Assert.Equal(4096, buffer.Length);
        _reader.AdvanceTo(buffer.End);
        Assert.Equal("reset", (await Assert.ThrowsAsync<ConnectionResetException>(() => _reader.ReadAsync(Test).AsTask())).Message);
    }

    [Fact]
    public async Task Advance_NothingConsumedAllExamined_TheNextReadWaitsForMore()
    {
        _channel.Deliver("ab"u8.ToArray());
        ReadOnlySequence<byte> buffer = (await _reader.ReadAsync(Test)).Buffer;
        _reader.AdvanceTo(buffer.Start, buffer.End);
        Assert.False(_reader.TryRead(out _));
        Task<ReadResult> read = _reader.ReadAsync(Test).AsTask();
        Assert.False(read.IsCompleted);
        _channel.Deliver("c"u8.ToArray());
        Assert.Equal("abc", Text((await Soon(read)).Buffer));
    }

    [Fact]
    public async Task Advance_NothingConsumedNothingExamined_TheNextReadReturnsTheSame()
    {
        _channel.Deliver("ab"u8.ToArray());
        ReadOnlySequence<byte> buffer = (await _reader.ReadAsync(Test)).Buffer;
        _reader.AdvanceTo(buffer.Start, buffer.End);
        _reader.CancelPendingRead();
        buffer = (await _reader.ReadAsync(Test)).Buffer;
        // Also where a reader before has examined more: another takes over here (W11).
        _reader.AdvanceTo(buffer.Start);
        Assert.True(_reader.TryRead(out ReadResult again));
        Assert.Equal("ab", Text(again.Buffer));
    }

    [Fact]
    public async Task Advance_PartConsumed_KeepsTheRest()
    {
        _channel.Deliver("abcd"u8.ToArray());
        ReadOnlySequence<byte> buffer = (await _reader.ReadAsync(Test)).Buffer;
        _reader.AdvanceTo(buffer.GetPosition(1), buffer.GetPosition(2));
        Assert.True(_reader.TryRead(out ReadResult rest));
        Assert.Equal("bcd", Text(rest.Buffer));
        _reader.AdvanceTo(rest.Buffer.End);
        Assert.False(_reader.TryRead(out _));
    }

    [Fact]
    public async Task Advance_BackwardsOrBeyond_Throws()
    {
        _channel.Deliver("abcd"u8.ToArray());
        ReadOnlySequence<byte> buffer = (await _reader.ReadAsync(Test)).Buffer;
        SequencePosition start = buffer.Start;
        _reader.AdvanceTo(buffer.GetPosition(2));
        Assert.Throws<ArgumentOutOfRangeException>(() => _reader.AdvanceTo(start));
    }

    [Fact]
    public async Task Advance_EverythingConsumed_GivesTheBlockBackToThePool()
    {
        _channel.Deliver("ab"u8.ToArray());
        ReadOnlySequence<byte> buffer = (await _reader.ReadAsync(Test)).Buffer;
        byte[] block = _channel.Block!;
        _reader.AdvanceTo(buffer.End);
        // The pool keeps the last block of a size for the thread that returned it.
        Assert.Same(block, ArrayPool<byte>.Shared.Rent(block.Length));
    }

    [Fact, Trait("Fault", "F05")]
    public async Task Read_PeerTakesNoAnswers_ReceivesNoMoreThanMayBeAnswered()
    {
        await ReadAllAsync(4096 + 16384);
        _room = 20000;
        _channel.Deliver(new byte[65536]);
        Assert.Equal(16384, (await ReadOnceAsync()).Length);
        _room = 0;
        Assert.Equal(4096, (await ReadOnceAsync()).Length);
        // What a read cannot do without is received all the same.
        _reader.Driver.Expect(32768);
        Assert.Equal(32768, (await ReadOnceAsync()).Length);
        Assert.Equal(4096, (await ReadOnceAsync()).Length);
        _room = long.MaxValue;
        Assert.Equal(8192, (await ReadOnceAsync()).Length);
    }

    [Fact, Trait("Fault", "F05")]
    public async Task Read_LastReceiveWasJustFilled_HoldsNoBufferWhileItWaits()
    {
        var channel = new ScriptedChannel { Calls = true };
        var reader = new TransportPipeReader(channel, 65536);
        channel.Deliver(new byte[4096]);
        ReadOnlySequence<byte> all = (await reader.ReadAsync(Test)).Buffer;
        Assert.Equal(4096, all.Length);
        reader.AdvanceTo(all.End);
        byte[] mine = ArrayPool<byte>.Shared.Rent(16384);
        ArrayPool<byte>.Shared.Return(mine);
        Task<ReadResult> read = reader.ReadAsync(Test).AsTask();
        Assert.True(channel.IsWaitPending);
        // The pool keeps the last block of a size for the thread that returned it.
        Assert.Same(mine, ArrayPool<byte>.Shared.Rent(16384));
        channel.Deliver("abc"u8.ToArray());
        Assert.Equal("abc", Text((await Soon(read)).Buffer));
    }

    [Fact, Trait("Fault", "F05")]
    public async Task Read_NothingAfterAFilledBlockThatIsStillHeld_JoinsWhatComesLater()
    {
        var channel = new ScriptedChannel { Calls = true };
        var reader = new TransportPipeReader(channel, 65536);
        byte[] first = new byte[4096];
        new Random(1).NextBytes(first);
        channel.Deliver(first);
        ReadOnlySequence<byte> all = (await reader.ReadAsync(Test)).Buffer;
        reader.AdvanceTo(all.GetPosition(4000), all.End);
        Task<ReadResult> read = reader.ReadAsync(Test).AsTask();
        channel.Deliver("abc"u8.ToArray());
        all = (await Soon(read)).Buffer;
        Assert.Equal([.. first[4000..], .. "abc"u8], all.ToArray());
        reader.AdvanceTo(all.End);
        channel.Fail(new ConnectionResetException("reset"));
        await Assert.ThrowsAsync<ConnectionResetException>(() => reader.ReadAsync(Test).AsTask());
    }

    [Fact]
    public async Task Read_ManyBlocks_JoinsThemInOrder()
    {
        byte[] all = new byte[200000];
        new Random(1).NextBytes(all);
        _channel.Deliver(all);
        while (true)
        {
            ReadResult result = await Soon(_reader.ReadAsync(Test).AsTask());
            if (result.Buffer.Length == all.Length)
            {
                Assert.True(result.Buffer.ToArray().AsSpan().SequenceEqual(all));
                // Consumed in steps that never meet a block's edge.
                _reader.AdvanceTo(result.Buffer.GetPosition(50001), result.Buffer.End);
                break;
            }

            _reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        }

        _channel.Deliver(9);
        ReadOnlySequence<byte> rest = (await Soon(_reader.ReadAsync(Test).AsTask())).Buffer;
        Assert.True(rest.ToArray().AsSpan(0, 149999).SequenceEqual(all.AsSpan(50001)));
        Assert.Equal(150000, rest.Length);
    }

    [Fact]
    public async Task Read_WhileAnotherWaits_Throws()
    {
        Task<ReadResult> first = _reader.ReadAsync(Test).AsTask();
        await Assert.ThrowsAsync<InvalidOperationException>(() => _reader.ReadAsync(Test).AsTask());
        Assert.Throws<InvalidOperationException>(() => _reader.TryRead(out _));
        _channel.Deliver(1);
        Assert.Equal(1, (await Soon(first)).Buffer.Length);
    }

    [Fact]
    public async Task CancelPendingRead_WhileARead_WaitsReturnsCanceled()
    {
        Task<ReadResult> read = _reader.ReadAsync(Test).AsTask();
        _reader.CancelPendingRead();
        ReadResult result = await Soon(read);
        Assert.True(result.IsCanceled);
        Assert.True(result.Buffer.IsEmpty);
    }

    [Fact]
    public async Task CancelPendingRead_BeforeARead_CancelsExactlyTheNext()
    {
        _reader.CancelPendingRead();
        Assert.True((await _reader.ReadAsync(Test)).IsCanceled);
        _channel.Deliver(1);
        Assert.False((await _reader.ReadAsync(Test)).IsCanceled);
    }

    [Fact, Trait("Fault", "F15")]
    public async Task AdvanceTo_NothingWasShownAndItsBlockIsGoneByALoss_IsFine()
    {
        var channel = new ScriptedChannel { ReceivesWithoutWait = true };
        var reader = new TransportPipeReader(channel, 65536);
        Task<ReadResult> read = reader.ReadAsync(Test).AsTask();
        Assert.True(channel.IsReceivePending);
        reader.CancelPendingRead();
        ReadOnlySequence<byte> nothing = (await Soon(read)).Buffer;
        channel.Fail(new ConnectionResetException("reset"));

        // As a handler does that goes on reading while its connection is aborted.
        reader.AdvanceTo(nothing.Start, nothing.End);

        await Assert.ThrowsAsync<ConnectionResetException>(() => Soon(reader.ReadAsync(Test).AsTask()));
    }

    [Fact, Trait("Contract", "R18")]
    public async Task Read_Cancelled_TheReceiveStaysInFlightAndItsBytesAreKept()
    {
        var channel = new ScriptedChannel { ReceivesWithoutWait = true };
        var reader = new TransportPipeReader(channel, 65536);
        using var cancel = new CancellationTokenSource();
        Task<ReadResult> read = reader.ReadAsync(cancel.Token).AsTask();
        Assert.True(channel.IsReceivePending);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Soon(read));
        Assert.True(channel.IsReceivePending);

        // The next read joins the same receive, and one that is not there misses nothing.
        Task<ReadResult> next = reader.ReadAsync(Test).AsTask();
        channel.Deliver("abc"u8.ToArray());
        Assert.Equal("abc", Text((await Soon(next)).Buffer));
    }

    [Fact, Trait("Contract", "R18")]
    public async Task Read_TokenOfASourceThatWasReset_IsCancelledEachTime()
    {
        // A reset source has forgotten whoever registered with its token, and the token is the same as before.
        using var cancel = new CancellationTokenSource();
        Task<ReadResult> first = _reader.ReadAsync(cancel.Token).AsTask();
        _channel.Deliver(1);
        _reader.AdvanceTo((await Soon(first)).Buffer.End);
        Assert.True(cancel.TryReset());

        Task<ReadResult> second = _reader.ReadAsync(cancel.Token).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Soon(second));
    }

    [Fact]
    public async Task Read_TokenOfTheLastReadIsCancelled_WaitsOn()
    {
        using var last = new CancellationTokenSource();
        Task<ReadResult> first = _reader.ReadAsync(last.Token).AsTask();
        _channel.Deliver(1);
        _reader.AdvanceTo((await Soon(first)).Buffer.End);

        Task<ReadResult> second = _reader.ReadAsync(Test).AsTask();
        await last.CancelAsync();
        Assert.False(second.IsCompleted);
        _channel.Deliver(1);
        Assert.Equal(1, (await Soon(second)).Buffer.Length);
    }

    [Fact]
    public async Task Read_AlreadyCancelled_TakesNothing()
    {
        _channel.Deliver(1);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _reader.ReadAsync(new CancellationToken(canceled: true)).AsTask());
        Assert.Equal(1, (await _reader.ReadAsync(Test)).Buffer.Length);
    }

    [Fact]
    public async Task End_AfterBytes_IsReturnedOnceTheyAreExamined()
    {
        _channel.Deliver("ab"u8.ToArray());
        ReadOnlySequence<byte> buffer = (await _reader.ReadAsync(Test)).Buffer;
        _reader.AdvanceTo(buffer.Start, buffer.End);
        _channel.End();
        ReadResult end = await _reader.ReadAsync(Test);
        Assert.True(end.IsCompleted);
        Assert.Equal("ab", Text(end.Buffer));
        _reader.AdvanceTo(end.Buffer.End);
        Assert.True((await _reader.ReadAsync(Test)).IsCompleted);
        Assert.Equal([null], _ends);
    }

    [Fact]
    public async Task Failure_AfterBytes_IsThrownOnceTheyAreExamined()
    {
        Task<ReadResult> read = _reader.ReadAsync(Test).AsTask();
        _channel.Deliver("ab"u8.ToArray());
        ReadOnlySequence<byte> buffer = (await Soon(read)).Buffer;
        var loss = new ConnectionResetException("lost");
        _reader.Fail(loss);
        _reader.AdvanceTo(buffer.Start);
        Assert.Equal("ab", Text((await _reader.ReadAsync(Test)).Buffer));
        _reader.AdvanceTo(buffer.End);
        Assert.Same(loss, await Assert.ThrowsAsync<ConnectionResetException>(() => _reader.ReadAsync(Test).AsTask()));
        Assert.Same(loss, await Assert.ThrowsAsync<ConnectionResetException>(() => _reader.ReadAsync(Test).AsTask()));
    }

    [Fact]
    public async Task Failure_WhileAReadWaits_IsThrownAndReportedOnce()
    {
        Task<ReadResult> read = _reader.ReadAsync(Test).AsTask();
        var loss = new ConnectionResetException("lost");
        _channel.Fail(loss);
        Assert.Same(loss, await Assert.ThrowsAsync<ConnectionResetException>(() => Soon(read)));
        Assert.Equal([loss], _ends);
    }

    [Fact]
    public async Task Complete_ReceiveInFlight_KeepsItsBlockOutOfThePoolUntilItIsDone()
    {
        var channel = new ScriptedChannel { ReceivesWithoutWait = true };
        var reader = new TransportPipeReader(channel, 65536);
        Task<ReadResult> read = reader.ReadAsync(Test).AsTask();
        byte[] block = channel.Block!;
        reader.Complete();
        byte[] rented = ArrayPool<byte>.Shared.Rent(block.Length);
        Assert.NotSame(block, rented);
        channel.Deliver(1, 2, 3);
        Assert.Same(block, ArrayPool<byte>.Shared.Rent(block.Length));
        await Assert.ThrowsAsync<InvalidOperationException>(() => Soon(read));
        Assert.Throws<InvalidOperationException>(() => reader.TryRead(out _));
    }

    [Fact, Trait("Contract", "R19")]
    public async Task Watch_ReceivesUpToItsBoundAndGoesOnWhenBytesAreConsumed()
    {
        for (int i = 0; i < 10; i++)
        {
            _channel.Deliver(new byte[4096]);
        }

        _reader.Driver.Unread.Watch(10000);
        Assert.Equal(3 * 4096, _reader.Driver.BytesReceived);
        ReadOnlySequence<byte> buffer = (await _reader.ReadAsync(Test)).Buffer;
        // Whoever reads has these now; one block more says whether the peer is still there.
        Assert.Equal(4 * 4096, _reader.Driver.BytesReceived);
        _reader.AdvanceTo(buffer.End);
        Assert.Equal(6 * 4096, _reader.Driver.BytesReceived);
    }

    [Fact]
    public void Watch_NoReadIsPending_ReportsTheFailure()
    {
        _reader.Driver.Unread.Watch(1000);
        var loss = new ConnectionResetException("lost");
        _channel.Fail(loss);
        Assert.Equal([loss], _ends);
    }

    [Fact, Trait("Contract", "W7")]
    public void Discard_MoreThanTheBoundArrives_StopsAtTheBoundAndReportsItOnce()
    {
        for (int i = 0; i < 10; i++)
        {
            _channel.Deliver(new byte[1000]);
        }

        _reader.Driver.Unread.Discard(2500);
        Assert.Equal((3000, 1), (_reader.Driver.Discarded, _bounds));

        // Waiting for the close meanwhile changes nothing about it.
        _reader.Driver.Unread.Watch(1);
        _reader.Driver.Unread.Discard(long.MaxValue);
        Assert.Equal((10000, 1), (_reader.Driver.Discarded, _bounds));
        _reader.Driver.Unread.Watch(1);
        _channel.Deliver(new byte[1000]);
        Assert.Equal((11000, 1), (_reader.Driver.Discarded, _bounds));
        Assert.Empty(_ends);
        _channel.End();
        Assert.Equal([null], _ends);
    }

    [Fact]
    public async Task Discard_BytesBufferedBefore_StayReadable()
    {
        _channel.Deliver("keep"u8.ToArray());
        ReadOnlySequence<byte> buffer = (await _reader.ReadAsync(Test)).Buffer;
        _reader.Driver.Unread.Discard(1000);
        _channel.Deliver("drop"u8.ToArray());
        Assert.Equal("keep", Text(buffer));
        Assert.Equal(8, _reader.Driver.BytesReceived);
        Assert.Equal(4, _reader.Driver.Discarded);
    }

    private async Task<ReadOnlySequence<byte>> ReadOnceAsync()
    {
        ReadOnlySequence<byte> all = (await Soon(_reader.ReadAsync(Test).AsTask())).Buffer;
        _reader.AdvanceTo(all.End);
        return all;
    }

    private async Task ReadAllAsync(int count)
    {
        _channel.Deliver(new byte[count]);
        for (long left = count; left > 0;)
        {
            left -= (await ReadOnceAsync()).Length;
        }
    }

    private static string Text(in ReadOnlySequence<byte> bytes) => Encoding.Latin1.GetString(bytes);

    private static Task<T> Soon<T>(Task<T> task) => task.WaitAsync(TimeSpan.FromSeconds(60), Test);

    private static Task Soon(Task task) => task.WaitAsync(TimeSpan.FromSeconds(60), Test);
}
