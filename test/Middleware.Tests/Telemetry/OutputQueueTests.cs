using System.Collections.Concurrent;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Telemetry;

/// <summary>The queue between the log and an output that may not be read.</summary>
public sealed class OutputQueueTests : IDisposable
{
    private const int Capacity = 4;

    private readonly ConcurrentQueue<string> _written = new();
    private readonly SemaphoreSlim _writes = new(0);
    private readonly SemaphoreSlim _open = new(0);
    private readonly FakeTimeProvider _time = new();
    private readonly OutputQueue _queue;
    private volatile bool _fails;

    public OutputQueueTests() => _queue = new OutputQueue(Write, count => $"dropped {count}", Capacity, _time);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public void Create_CapacityBelowOne_Throws(int capacity) =>
        Assert.Equal("capacity", Assert.Throws<ArgumentOutOfRangeException>(() => new OutputQueue(_ => { }, _ => string.Empty, capacity, TimeProvider.System)).ParamName);

    [Fact(Timeout = 60000)]
    public async Task Post_OutputThatBlocks_ReturnsAndDropsWhatDoesNotFit()
    {
        long before = OutputQueue.Dropped;
        await FillAsync();

        _queue.Post("lost 1");
        _queue.Post("lost 2");

        Assert.True(OutputQueue.Dropped >= before + 2);
        Assert.False(_queue.Flush(TimeSpan.FromMilliseconds(1)));
        Assert.Empty(_written);
    }

    [Fact(Timeout = 60000)]
    public async Task Post_OutputFlowsAgain_ReportsTheDropsOnce()
    {
        await FillAsync();
        _queue.Post("lost 1");
        _queue.Post("lost 2");

        _open.Release(100);
        Assert.True(_queue.Flush(TimeSpan.FromSeconds(30)));

        Assert.Equal(["first", "dropped 2", "0", "1", "2", "3"], _written);
    }

    [Fact(Timeout = 60000)]
    public async Task Post_DropsWhileTheQueueIsNeverEmpty_AreReportedOnceAMinute()
    {
        await FillAsync();
        _queue.Post("lost");
        await LetThroughAsync(3);
        Assert.Equal(["first", "dropped 1", "0"], _written);

        _queue.Post("4");
        _queue.Post("5");
        _queue.Post("lost");
        await LetThroughAsync(1);
        Assert.Equal("1", _written.Last());

        _time.Advance(TimeSpan.FromMinutes(1));
        await LetThroughAsync(2);

        Assert.Equal(["first", "dropped 1", "0", "1", "2", "dropped 1"], _written);
    }

    [Fact(Timeout = 60000)]
    public void Post_OutputThatFails_CountsAndReportsWhenItWorksAgain()
    {
        _open.Release(100);
        _fails = true;
        _queue.Post("lost 1");
        _queue.Post("lost 2");
        Assert.True(_queue.Flush(TimeSpan.FromSeconds(30)));
        Assert.Empty(_written);

        _fails = false;
        _queue.Post("first");
        Assert.True(SpinWait.SpinUntil(() => _written.Count == 2, TimeSpan.FromSeconds(30)));

        Assert.Equal(["first", "dropped 2"], _written);
    }

    [Fact(Timeout = 60000)]
    public async Task Dispose_OutputThatBlocks_ReturnsWithinItsTimeout()
    {
        await FillAsync();

        await Task.Run(_queue.Dispose, Cancel);
        _queue.Post("after the end");
        _open.Release(100);
        Assert.True(_queue.Flush(TimeSpan.FromSeconds(30)));

        Assert.DoesNotContain("after the end", _written);
    }

    public void Dispose()
    {
        // The thread ends when it has written the rest.
        _open.Release(1000);
        _queue.Dispose();
        Assert.True(_queue.Flush(TimeSpan.FromSeconds(30)));
        _open.Dispose();
        _writes.Dispose();
    }

    /// <summary>Has the writer block at "first", with a full queue.</summary>
    private async Task FillAsync()
    {
        _queue.Post("first");
        await _writes.WaitAsync(Cancel);
        for (int i = 0; i < Capacity; i++)
        {
            _queue.Post($"{i}");
        }
    }

    /// <summary>Lets texts through, and waits until the writer is at the next one.</summary>
    private async Task LetThroughAsync(int count)
    {
        for (int i = 0; i < count; i++)
        {
            _open.Release();
            await _writes.WaitAsync(Cancel);
        }
    }

    private void Write(string text)
    {
        _writes.Release();
        _open.Wait();
        if (_fails)
        {
            throw new IOException("Broken pipe");
        }

        _written.Enqueue(text);
    }
}
