using System.Threading.RateLimiting;
using ByteStreams.Admission;

namespace ByteStreams.Middleware.Tests.Admission;

public class PlaceLimiterTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(10);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public void AttemptAcquire_AllTaken_FailsUntilOneIsGivenBack()
    {
        using var limiter = new PlaceLimiter(2);
        using RateLimitLease first = limiter.AttemptAcquire();
        using RateLimitLease second = limiter.AttemptAcquire();
        Assert.True(first.IsAcquired && second.IsAcquired);
        Assert.False(limiter.AttemptAcquire().IsAcquired);

        // Twice gives back one.
        first.Dispose();
        first.Dispose();

        using RateLimitLease third = limiter.AttemptAcquire();
        Assert.True(third.IsAcquired);
        Assert.False(limiter.AttemptAcquire().IsAcquired);
    }

    [Fact(Timeout = 30000)]
    public async Task Acquire_AllTaken_ComesInTheOrderOfComing()
    {
        using var limiter = new PlaceLimiter(1);
        RateLimitLease holder = limiter.AttemptAcquire();
        Task<RateLimitLease> first = limiter.AcquireAsync(1, Cancel).AsTask();
        Task<RateLimitLease> second = limiter.AcquireAsync(1, Cancel).AsTask();

        holder.Dispose();

        RateLimitLease lease = await first.WaitAsync(Deadline, Cancel);
        Assert.False(second.IsCompleted);
        Assert.False(limiter.AttemptAcquire().IsAcquired);
        lease.Dispose();
        Assert.True((await second.WaitAsync(Deadline, Cancel)).IsAcquired);
    }

    [Fact(Timeout = 30000)]
    public async Task Acquire_Cancelled_LeavesTheQueueAndTakesNothing()
    {
        using var limiter = new PlaceLimiter(1);
        RateLimitLease holder = limiter.AttemptAcquire();
        using var impatient = new CancellationTokenSource();
        Task<RateLimitLease> first = limiter.AcquireAsync(1, impatient.Token).AsTask();
        Task<RateLimitLease> second = limiter.AcquireAsync(1, Cancel).AsTask();

        await impatient.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first.WaitAsync(Deadline, Cancel));
        holder.Dispose();

        Assert.True((await second.WaitAsync(Deadline, Cancel)).IsAcquired);
        Assert.Equal(0, limiter.GetStatistics()!.CurrentQueuedCount);
    }

    [Fact(Timeout = 30000)]
    public async Task Most_Raised_LetsInWhoWaits()
    {
        using var limiter = new PlaceLimiter(1);
        _ = limiter.AttemptAcquire();
        Task<RateLimitLease>[] waiting = [.. Enumerable.Range(0, 3).Select(_ => limiter.AcquireAsync(1, Cancel).AsTask())];

        limiter.Most = 3;

        await Task.WhenAll(waiting[0], waiting[1]).WaitAsync(Deadline, Cancel);
        Assert.False(waiting[2].IsCompleted);
        Assert.Equal(1, limiter.GetStatistics()!.CurrentQueuedCount);
    }

    [Fact]
    public void Most_Lowered_KeepsWhoIsInAndLetsNobodyInUntilThereAreFewer()
    {
        using var limiter = new PlaceLimiter(3);
        RateLimitLease[] inside = [.. Enumerable.Range(0, 3).Select(_ => limiter.AttemptAcquire())];

        limiter.Most = 1;

        inside[0].Dispose();
        inside[1].Dispose();
        Assert.False(limiter.AttemptAcquire().IsAcquired);
        inside[2].Dispose();
        Assert.True(limiter.AttemptAcquire().IsAcquired);
    }

    [Fact(Timeout = 60000)]
    public async Task Acquire_ManyAtOnceWithCancellations_LosesNoPlace()
    {
        using var limiter = new PlaceLimiter(4);
        int inside = 0;
        int most = 0;
        await Task.WhenAll(Enumerable.Range(0, 16).Select(seed => Task.Run(async () =>
        {
            var random = new Random(seed);
            for (int i = 0; i < 500; i++)
            {
                using var late = new CancellationTokenSource();
                Task<RateLimitLease> entering = limiter.AcquireAsync(1, late.Token).AsTask();
                if (random.Next(3) == 0)
                {
                    await late.CancelAsync();
                }

                try
                {
                    using RateLimitLease lease = await entering.WaitAsync(Deadline, Cancel);
                    int now = Interlocked.Increment(ref inside);
                    InterlockedMax(ref most, now);
                    await Task.Yield();
                    Interlocked.Decrement(ref inside);
                }
                catch (OperationCanceledException)
                {
                }
            }
        }, Cancel)));

        Assert.InRange(most, 1, 4);
        Assert.Equal((4, 0), ((int)limiter.GetStatistics()!.CurrentAvailablePermits, (int)limiter.GetStatistics()!.CurrentQueuedCount));
    }

    private static void InterlockedMax(ref int most, int value)
    {
        int seen;
        while ((seen = Volatile.Read(ref most)) < value && Interlocked.CompareExchange(ref most, value, seen) != seen)
        {
        }
    }
}
