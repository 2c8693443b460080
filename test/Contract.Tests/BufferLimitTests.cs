using ByteStreams.Transport;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Contract.Tests;

/// <summary>When the limit of what all connections buffer pauses readers, and which it resumes.</summary>
public sealed class BufferLimitTests
{
    private const long Limit = 8 << 20;
    private const long Eighth = Limit / 8;
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    private readonly FakeTimeProvider _time = new();
    private readonly BufferLimit _limit;
    private long _total;

    public BufferLimitTests() => _limit = new BufferLimit(_time, () => _total, Limit);

    [Fact, Trait("Fault", "F83")]
    public void Review_TotalAboveTheLimit_PausesUntilItHasFallenByAnEighth()
    {
        var reader = new Reader();
        Assert.False(_limit.TryPause(reader));

        LookAt(Limit + 1);
        Assert.True(_limit.TryPause(reader));
        LookAt(Limit - Eighth + 1);
        Assert.True(_limit.IsExceeded);
        Assert.Equal(0, reader.Resumed);

        LookAt(Limit - Eighth);
        Assert.False(_limit.IsExceeded);
        Assert.Equal((1, 0), (reader.Resumed, _limit.Paused));
        Assert.False(_limit.TryPause(reader));
    }

    [Theory, Trait("Fault", "F83")]
    [InlineData(Limit - 100, Limit + 1, true)]
    [InlineData(Limit + 100, Limit - 1, false)]
    [InlineData(Limit - 300, Limit + 1, false)] // So far from the limit nothing is summed up: the uncertainty was exceeded.
    public void OnTotalChanged_ThreadsHaveNotReportedAll_TheExactTotalDecides(long reported, long exact, bool isExceeded)
    {
        _total = exact;

        _limit.OnTotalChanged(reported, uncertainty: 200);

        Assert.Equal(isExceeded, _limit.IsExceeded);
    }

    [Fact, Trait("Fault", "F83")]
    public void Review_ManyArePaused_ResumesThemInOrderAsFarAsTheTotalAllows()
    {
        LookAt(Limit + 1);
        Reader[] readers = [.. Enumerable.Range(0, 50).Select(_ => new Reader())];
        Assert.All(readers, reader => Assert.True(_limit.TryPause(reader)));
        // A reader that asks again keeps its position.
        Assert.True(_limit.TryPause(readers[0]));
        Assert.Equal(50, _limit.Paused);

        LookAt(Limit - Eighth);
        int first = readers.Count(reader => reader.Resumed > 0);
        Assert.Equal(Eighth / 65536, first);
        Assert.All(readers[..first], reader => Assert.Equal(1, reader.Resumed));

        // The timer goes on while any is paused.
        _time.Advance(Look);
        Assert.Equal(2 * first, readers.Count(reader => reader.Resumed > 0));
        _time.Advance(10 * Look);
        Assert.All(readers, reader => Assert.Equal(1, reader.Resumed));
    }

    [Fact, Trait("Fault", "F83")]
    public void Review_StillAboveTheLimit_ResumesWhatHoldsLittleAndAFewWhosePeersHaveEnded()
    {
        LookAt(Limit + 1);
        Reader[] holders = [.. Enumerable.Range(0, 20).Select(_ => new Reader())];
        Reader[] ended = [.. Enumerable.Range(0, 20).Select(_ => new Reader { HasPeerEnded = true })];
        var consumed = new Reader { HoldsLittle = true };
        var gone = new Reader();
        Assert.All([.. holders, .. ended, consumed, gone], reader => Assert.True(_limit.TryPause(reader)));
        gone.IsPaused = false;

        _time.Advance(Look);

        Assert.All([.. holders, gone], reader => Assert.Equal(0, reader.Resumed));
        Assert.Equal((1, false), (consumed.Resumed, consumed.IsBeyondLimit));
        // As far as an eighth above the limit allows, 256 KiB each.
        Assert.Equal(4, ended.Count(reader => reader is { Resumed: 1, IsBeyondLimit: true }));
        Assert.Equal(36, _limit.Paused);

        LookAt(Limit + Eighth);
        Assert.Equal(4, ended.Count(reader => reader.Resumed > 0));
    }

    [Fact, Trait("Fault", "F83")]
    public void Change_NoLimit_ResumesEveryReader()
    {
        LookAt(Limit + 1);
        Reader[] readers = [.. Enumerable.Range(0, 50).Select(_ => new Reader())];
        Assert.All(readers, reader => Assert.True(_limit.TryPause(reader)));

        Assert.True(_limit.Change(0));

        Assert.All(readers, reader => Assert.Equal(1, reader.Resumed));
        _limit.OnTotalChanged(long.MaxValue, uncertainty: 0);
        Assert.False(_limit.IsExceeded);
    }

    [Fact, Trait("Fault", "F83")]
    public void Review_AboveTheLimitForLong_LogsOneWarningAMinute()
    {
        var log = new FakeLogger();
        using IDisposable logged = _limit.LogTo(log);
        LookAt(Limit + 1);
        Assert.True(_limit.TryPause(new Reader()));
        _time.Advance(TimeSpan.FromSeconds(59));
        Assert.Equal([305], log.Collector.GetSnapshot().Select(line => line.Id.Id));

        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([305, 305], log.Collector.GetSnapshot().Select(line => line.Id.Id));

        LookAt(0);
        LookAt(Limit + 1);
        LookAt(0);
        Assert.Equal([305, 305, 306], log.Collector.GetSnapshot().Select(line => line.Id.Id));
    }

    [Fact, Trait("Fault", "F83")]
    public void LogTo_SeveralServers_IsOneLineForEachLoggerAndNoneAfterItsServersEnd()
    {
        var log = new FakeLogger();
        var others = new FakeLogger();
        IDisposable first = _limit.LogTo(log);
        using IDisposable second = _limit.LogTo(log);
        IDisposable third = _limit.LogTo(others);
        third.Dispose();
        first.Dispose();
        first.Dispose();

        LookAt(Limit + 1);

        Assert.Equal([305], log.Collector.GetSnapshot().Select(line => line.Id.Id));
        Assert.Empty(others.Collector.GetSnapshot());
    }

    [Fact(Timeout = 20000), Trait("Fault", "F83")]
    public async Task Review_TheLogBlocks_ReadersArePausedMeanwhile()
    {
        using var log = new BlockedLogger();
        using IDisposable logged = _limit.LogTo(log);
        Task review = Task.Run(() => LookAt(Limit + 1), TestContext.Current.CancellationToken);
        await log.Entered.Task;

        Task<bool> paused = Task.Run(() => _limit.TryPause(new Reader()), TestContext.Current.CancellationToken);

        Assert.True(await paused.WaitAsync(TestContext.Current.CancellationToken));
        log.Release.Set();
        await review;
    }

    private void LookAt(long total)
    {
        _total = total;
        _limit.Review();
    }

    private sealed class Reader : IPausedReader
    {
        public bool IsPaused { get; set; }

        public bool IsQueued { get; set; }

        public bool HoldsLittle { get; init; }

        public bool HasPeerEnded { get; init; }

        public int Resumed { get; private set; }

        public bool IsBeyondLimit { get; private set; }

        public void Resume(bool beyondLimit)
        {
            Resumed++;
            IsBeyondLimit = beyondLimit;
        }
    }

    private sealed class BlockedLogger : ILogger, IDisposable
    {
        public TaskCompletionSource Entered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public ManualResetEventSlim Release { get; } = new();

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            Entered.TrySetResult();
            Release.Wait(TestContext.Current.CancellationToken);
        }

        public void Dispose() => Release.Dispose();
    }
}
