using ByteStreams.Transport.Epoll;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Contract.Tests.Engine;

/// <summary>What separates a thread that blocks from one that computes, or that waits for a processor.</summary>
public sealed class ThreadActivityTests
{
    public ThreadActivityTests() => Assert.SkipUnless(LibC.IsSupported, "The kernel is asked as on Linux.");

    [Fact]
    public void IsAsleep_ThreadThatWaits_IsTrue()
    {
        using var thread = new Observed(static stop => stop.Wait());
        Assert.True(SpinWait.SpinUntil(() => ThreadActivity.IsAsleep(thread.Id), TimeSpan.FromSeconds(60)));
        TimeSpan? used = ThreadActivity.ProcessorTime(thread.Id);
        Assert.NotNull(used);
        Assert.True(ThreadActivity.IsAsleep(thread.Id));
        Assert.Equal(used, ThreadActivity.ProcessorTime(thread.Id));
    }

    [Fact]
    public void IsAsleep_ThreadThatComputesOrWaitsForAProcessor_IsFalse()
    {
        // More than there are processors: some of them wait for one at any moment.
        Observed[] threads = [.. Enumerable.Range(0, Environment.ProcessorCount * 4).Select(_ => new Observed(static stop =>
        {
            while (!stop.IsSet)
            {
            }
        }))];
        try
        {
            // A collection stops them for a moment.
            Assert.True(SpinWait.SpinUntil(() => threads.All(thread => !ThreadActivity.IsAsleep(thread.Id)), TimeSpan.FromSeconds(60)));
            TimeSpan? before = ThreadActivity.ProcessorTime(threads[0].Id);
            Assert.True(SpinWait.SpinUntil(() => ThreadActivity.ProcessorTime(threads[0].Id) > before, TimeSpan.FromSeconds(60)));
        }
        finally
        {
            Array.ForEach(threads, thread => thread.Dispose());
        }
    }

    [Fact]
    public void Waits_ThreadThatSleeps_AreCounted()
    {
        long before = ThreadActivity.Waits();
        // Not an event: its wait spins first, on a busy machine until the time is over.
        Thread.Sleep(1);
        Assert.InRange(ThreadActivity.Waits(), before + 1, long.MaxValue);
    }

    [Fact]
    public void IsAsleep_NoSuchThread_IsTrue() => Assert.True(ThreadActivity.IsAsleep(int.MaxValue));

    /// <summary>A thread whose id is known, until the test is over.</summary>
    private sealed class Observed : IDisposable
    {
        private readonly ManualResetEventSlim _stop = new();
        private readonly ManualResetEventSlim _running = new();
        private readonly Thread _thread;

        public Observed(Action<ManualResetEventSlim> run)
        {
            _thread = new Thread(() =>
            {
                Id = ThreadActivity.Current();
                _running.Set();
                run(_stop);
            });
            _thread.Start();
            _running.Wait();
        }

        public int Id { get; private set; }

        public void Dispose()
        {
            _stop.Set();
            _thread.Join();
            _stop.Dispose();
            _running.Dispose();
        }
    }
}
