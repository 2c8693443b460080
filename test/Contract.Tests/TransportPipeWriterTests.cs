using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.InteropServices;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Contract.Tests;

/// <summary>The rules of a PipeWriter, and of the queue under it.</summary>
public sealed class TransportPipeWriterTests : IOutputOwner
{
    private readonly ScriptedChannel _channel = new();
    private readonly List<Exception> _losses = [];
    private readonly TransportPipeWriter _writer;

    public TransportPipeWriterTests() => _writer = new TransportPipeWriter(_channel, 100, 25, this);

    private Action _onLost = () => { };

    void IOutputOwner.OnOutputLost(Exception loss)
    {
        _losses.Add(loss);
        _onLost();
    }

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    [Fact, Trait("Contract", "W1")]
    public async Task Flush_SendsEverythingWrittenInOneSend()
    {
        Write("ab"u8);
        Write("cd"u8);
        Assert.Equal(4, _writer.UnflushedBytes);
        Assert.Empty(_channel.Sends);
        FlushResult result = await _writer.FlushAsync(Test);
        Assert.False(result.IsCompleted);
        Assert.Equal("abcd"u8.ToArray(), Assert.Single(_channel.Sends));
        Assert.Equal(0, _writer.UnflushedBytes);
        Assert.Equal(4, _writer.BytesSent);
    }

    [Fact]
    public async Task Flush_SeveralBlocks_SendsThemInOrder()
    {
        byte[] all = new byte[300000];
        new Random(1).NextBytes(all);
        for (int from = 0; from < all.Length; from += 1001)
        {
            Write(all.AsSpan(from, Math.Min(1001, all.Length - from)));
        }

        await _writer.FlushAsync(Test);
        Assert.Equal(all, _channel.Sent);
    }

    [Fact, Trait("Fault", "F05")]
    public void Write_SmallOnesUpToHighWater_LittleOfTheBlocksIsEmpty()
    {
        _writer.SetLimits(65536, 16384);
        _channel.Paused = true;
        WriteSmallOnes(1025);

        Assert.False(_writer.FlushAsync(Test).AsTask().IsCompleted);
        Assert.Equal(65600, _channel.PendingSend.Length);
        Assert.InRange(Blocks(_channel.PendingSend).Sum(block => block.Length), 65600, 65600 + 8192);
    }

    [Fact, Trait("Fault", "F05")]
    public async Task AnswerCapacity_NothingWaits_IsHalfOfTheMarkOnceAnythingWasSent()
    {
        _writer.SetLimits(100, 80);
        Assert.Equal(long.MaxValue, _writer.AnswerCapacity);
        Write(new byte[1]);
        await _writer.FlushAsync(Test);
        Assert.Equal(50, _writer.AnswerCapacity);

        _channel.Paused = true;
        Write(new byte[70]);
        await _writer.FlushAsync(Test);
        Assert.Equal(30, _writer.AnswerCapacity);
        Write(new byte[31]);
        Task<FlushResult> flush = _writer.FlushAsync(Test).AsTask();
        Assert.Equal(long.MaxValue, _writer.AnswerCapacity);
        Take(70);
        await Soon(flush);
        Assert.Equal(69, _writer.AnswerCapacity);
        Take(31);
        Assert.Equal(50, _writer.AnswerCapacity);
    }

    [Fact, Trait("Fault", "F05")]
    public async Task Write_ASmallOne_TakesASmallBlock()
    {
        _channel.Paused = true;
        Write(new byte[64]);
        await _writer.FlushAsync(Test);

        Assert.Equal([4096], Blocks(_channel.PendingSend).Select(block => block.Length));
    }

    [Fact, Trait("Fault", "F05")]
    public void Write_SmallOnesFarAboveHighWater_TakeLargeBlocks()
    {
        // Whoever does not drain gets few blocks; each is sent from, kept and given back by itself.
        _writer.SetLimits(65536, 16384);
        _channel.Paused = true;
        WriteSmallOnes(16384);

        Assert.False(_writer.FlushAsync(Test).AsTask().IsCompleted);
        Assert.Equal(1 << 20, _channel.PendingSend.Length);
        Assert.Equal(65536, Blocks(_channel.PendingSend).Max(block => block.Length));
        Assert.InRange(Blocks(_channel.PendingSend).Count(), 16, 40);
    }

    [Fact, Trait("Fault", "F05")]
    public async Task AvailableCapacity_IsWhatTheMarkLeavesOfIt_UnlessNothingWaitsOrAFlushDoes()
    {
        _channel.Paused = true;
        Assert.Equal(long.MaxValue, _writer.AvailableCapacity);
        Write(new byte[70]);
        await _writer.FlushAsync(Test);
        Assert.Equal(30, _writer.AvailableCapacity);
        Write(new byte[31]);
        Task<FlushResult> flush = _writer.FlushAsync(Test).AsTask();
        Assert.Equal(long.MaxValue, _writer.AvailableCapacity);
        Take(70);
        Assert.False(flush.IsCompleted);
        Take(10);
        await Soon(flush);
        Assert.Equal(79, _writer.AvailableCapacity);
    }

    [Fact, Trait("Fault", "F05")]
    public void Write_LargeOne_EachBlockIsFilledButTheLast()
    {
        _writer.SetLimits(65536, 16384);
        _channel.Paused = true;
        _writer.Append(new byte[65536 + 32768 + 100]);
        Assert.False(_writer.FlushAsync(Test).AsTask().IsCompleted);
        Assert.Equal([65536, 32768, 4096], Blocks(_channel.PendingSend).Select(block => block.Length));
    }

    [Fact, Trait("Contract", "W6")]
    public async Task Flush_AboveHighWater_WaitsUntilLowWater()
    {
        _channel.Paused = true;
        Write(new byte[100]);
        // At the mark is not above it.
        Assert.True(_writer.FlushAsync(Test).AsTask().IsCompletedSuccessfully);
        Write(new byte[1]);
        Task<FlushResult> flush = _writer.FlushAsync(Test).AsTask();
        Task<FlushResult> other = _writer.FlushAsync(Test).AsTask();
        Assert.False(flush.IsCompleted);
        Take(75);
        Assert.Equal(26, _writer.Queued);
        Assert.False(flush.IsCompleted);
        Take(1);
        await Soon(flush);
        await Soon(other);
        Assert.Equal(25, _writer.Queued);
    }

    [Fact, Trait("Contract", "W5")]
    public async Task SetLimits_WhatIsQueuedIsUnderTheNewLowWater_ReleasesTheFlush()
    {
        _channel.Paused = true;
        Write(new byte[200]);
        Task<FlushResult> flush = _writer.FlushAsync(Test).AsTask();
        _writer.SetLimits(500, 200);
        await Soon(flush);
        Assert.Throws<ArgumentOutOfRangeException>(() => _writer.SetLimits(1, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => _writer.SetLimits(1, -1));
        Assert.Equal((500, 200), _writer.Limits);
    }

    [Fact]
    public async Task Flush_Cancelled_KeepsTheBytes()
    {
        _channel.Paused = true;
        Write(new byte[200]);
        using var cancel = new CancellationTokenSource();
        Task<FlushResult> flush = _writer.FlushAsync(cancel.Token).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Soon(flush));
        Take(200);
        Assert.Equal(200, _channel.Sent.Length);
    }

    [Fact]
    public async Task CancelPendingFlush_ReturnsCanceled()
    {
        _channel.Paused = true;
        Write(new byte[200]);
        Task<FlushResult> flush = _writer.FlushAsync(Test).AsTask();
        _writer.CancelPendingFlush();
        Assert.True((await Soon(flush)).IsCanceled);
    }

    [Fact]
    public async Task Flush_BetweenGetMemoryAndAdvance_KeepsThePromisedMemory()
    {
        Write("ab"u8);
        Memory<byte> memory = _writer.GetMemory(3);
        await _writer.FlushAsync(Test);
        Assert.Equal("ab"u8.ToArray(), _channel.Sent);
        "cde"u8.CopyTo(memory.Span);
        _writer.Advance(3);
        await _writer.FlushAsync(Test);
        Assert.Equal("abcde"u8.ToArray(), _channel.Sent);
    }

    [Fact]
    public void Flush_WhileASendIsAtWork_LeavesItsBytesAlone()
    {
        _channel.Paused = true;
        Write("ab"u8);
        _ = _writer.FlushAsync(Test).AsTask();
        Write("cd"u8);
        _ = _writer.FlushAsync(Test).AsTask();
        Write("ef"u8);
        Take(1);
        Take(3);
        // "ef" was not flushed.
        Assert.False(_channel.IsSendPending);
        Assert.Equal("abcd"u8.ToArray(), _channel.Sent);
        Assert.Equal(2, _writer.UnflushedBytes);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1 << 20)]
    public void Advance_OutsideTheMemory_Throws(int count)
    {
        _writer.GetMemory(10);
        Assert.Throws<ArgumentOutOfRangeException>(() => _writer.Advance(count));
    }

    [Fact, Trait("Contract", "W3")]
    public async Task Complete_SendsWhatWasWrittenAndThenEndsTheDirection()
    {
        _channel.Paused = true;
        Write("ab"u8);
        _writer.Complete();
        Assert.Equal(0, _channel.Shutdowns);
        Assert.False(_writer.Finished.IsCompleted);
        Take(2);
        await _writer.Finished.WaitAsync(TimeSpan.FromSeconds(60), Test);
        Assert.Equal(1, _channel.Shutdowns);
        _writer.Complete();
        Assert.Equal(1, _channel.Shutdowns);
        Assert.Throws<InvalidOperationException>(() => _writer.GetMemory());
        await Assert.ThrowsAsync<InvalidOperationException>(() => _writer.FlushAsync(Test).AsTask());
    }

    [Fact]
    public async Task Complete_WithAnException_DropsWhatWasWrittenAndReportsIt()
    {
        Write("ab"u8);
        _writer.Complete(new InvalidOperationException("why"));
        Assert.Empty(_channel.Sends);
        Assert.Equal("why", Assert.IsType<ConnectionAbortedException>(Assert.Single(_losses)).Message);
        await _writer.Finished.WaitAsync(TimeSpan.FromSeconds(60), Test);
    }

    [Fact, Trait("Fault", "F04")]
    public async Task Flush_ConnectionLost_IsCompletedFromThenOnAndKeepsTheCause()
    {
        _channel.Paused = true;
        Write(new byte[200]);
        Task<FlushResult> flush = _writer.FlushAsync(Test).AsTask();
        var loss = new ConnectionResetException("lost");
        _channel.Fail(loss);
        Assert.True((await Soon(flush)).IsCompleted);
        Write(new byte[5]);
        Assert.True((await _writer.FlushAsync(Test)).IsCompleted);
        Assert.Same(loss, _writer.Failure);
        Assert.Equal([loss], _losses);
        Assert.Equal(0, _writer.Queued);
        Assert.Equal(0, _writer.UnflushedBytes);
        Assert.True(_writer.Finished.IsCompletedSuccessfully);
    }

    [Fact, Trait("Fault", "F04")]
    public async Task Flush_ConnectionLost_TheOwnerIsNotifiedBeforeTheWaiters()
    {
        _channel.Paused = true;
        Write(new byte[200]);
        Task<FlushResult> flush = _writer.FlushAsync(Test).AsTask();
        Task<FlushResult>? another = null;
        bool wasReleased = true;
        _onLost = () =>
        {
            wasReleased = flush.IsCompleted || _writer.Finished.IsCompleted;
            _onLost = () => { };
            // Somebody who flushes just now tells the owner too.
            another = _writer.FlushAsync(Test).AsTask();
        };

        _channel.Fail(new ConnectionResetException("lost"));

        Assert.True((await Soon(flush)).IsCompleted);
        Assert.True((await another!).IsCompleted);
        Assert.False(wasReleased);
        Assert.Equal(2, _losses.Count);
    }

    [Fact]
    public async Task Flush_Coalescing_SeveralInOneDispatchLeaveInOneSendAtItsEnd()
    {
        _writer.SetLimits(65536, 16384);
        _writer.CoalescesFlushes = true;
        var dispatch = new LoopDispatch();
        LoopDispatch.Begin(dispatch);
        try
        {
            Write("ab"u8);
            Assert.False((await _writer.FlushAsync(Test)).IsCompleted);
            Write("cd"u8);
            Assert.False((await _writer.FlushAsync(Test)).IsCompleted);
            Assert.Empty(_channel.Sends);
        }
        finally
        {
            LoopDispatch.Begin(null);
        }

        dispatch.End();

        Assert.Equal("abcd"u8.ToArray(), Assert.Single(_channel.Sends));
    }

    [Fact]
    public async Task Flush_CoalescingOffTheLoops_LeavesWithoutAnotherCall()
    {
        _writer.CoalescesFlushes = true;
        Write("ab"u8);
        await _writer.FlushAsync(Test);

        await _channel.FirstSend.WaitAsync(TimeSpan.FromSeconds(60), Test);

        Assert.Equal("ab"u8.ToArray(), _channel.Sent);
    }

    [Fact]
    public void Flush_CoalescingMoreThanHalfOfTheHighWaterMark_LeavesAtOnce()
    {
        _writer.CoalescesFlushes = true;
        var dispatch = new LoopDispatch();
        LoopDispatch.Begin(dispatch);
        try
        {
            Write(new byte[50]);
            Assert.True(_writer.FlushAsync(Test).AsTask().IsCompletedSuccessfully);
            Assert.Empty(_channel.Sends);
            Write(new byte[1]);
            Assert.True(_writer.FlushAsync(Test).AsTask().IsCompletedSuccessfully);
            Assert.Equal(51, Assert.Single(_channel.Sends).Length);
        }
        finally
        {
            LoopDispatch.Begin(null);
        }

        dispatch.End();
        Assert.Single(_channel.Sends);
    }

    [Fact]
    public async Task Complete_FlushesAreMarked_SendsThemAndThenTheEnd()
    {
        _writer.CoalescesFlushes = true;
        var dispatch = new LoopDispatch();
        LoopDispatch.Begin(dispatch);
        Write("ab"u8);
        ValueTask<FlushResult> flush = _writer.FlushAsync(Test);
        _writer.Complete();
        LoopDispatch.Begin(null);
        await flush;

        Assert.Equal("ab"u8.ToArray(), Assert.Single(_channel.Sends));
        Assert.Equal(1, _channel.Shutdowns);
        dispatch.End();
        Assert.Single(_channel.Sends);
    }

    private void Take(int count)
    {
        _channel.Take(count);
    }

    private static IEnumerable<byte[]> Blocks(ReadOnlySequence<byte> sequence)
    {
        foreach (ReadOnlyMemory<byte> piece in sequence)
        {
            Assert.True(MemoryMarshal.TryGetArray(piece, out ArraySegment<byte> block));
            yield return block.Array!;
        }
    }

    private void WriteSmallOnes(int count)
    {
        for (int i = 0; i < count; i++)
        {
            Write(new byte[64]);
        }
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            Span<byte> room = _writer.GetSpan();
            int count = Math.Min(room.Length, bytes.Length);
            bytes[..count].CopyTo(room);
            _writer.Advance(count);
            bytes = bytes[count..];
        }
    }

    private static Task<T> Soon<T>(Task<T> task) => task.WaitAsync(TimeSpan.FromSeconds(60), Test);
}
