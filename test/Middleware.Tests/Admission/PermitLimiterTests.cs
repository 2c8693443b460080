using ByteStreams.Transport;

namespace ByteStreams.Middleware.Tests.Admission;

public class PermitLimiterTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public void TryEnter_AllTaken_FailsUntilOneIsGivenBack()
    {
        var limiter = new PermitLimiter(2);
        Assert.True(limiter.TryEnter());
        Assert.True(limiter.TryEnter());
        Assert.False(limiter.TryEnter());

        limiter.Release();

        Assert.True(limiter.TryEnter());
        Assert.False(limiter.TryEnter());
    }

    [Fact(Timeout = 120000)]
    public async Task Enter_AllTaken_ComesInTheOrderOfComing()
    {
        var limiter = new PermitLimiter(1);
        Assert.True(limiter.TryEnter());
        Task first = limiter.EnterAsync(Cancel).AsTask();
        Task second = limiter.EnterAsync(Cancel).AsTask();

        limiter.Release();

        await first.WaitAsync(Deadline, Cancel);
        Assert.False(second.IsCompleted);
        Assert.False(limiter.TryEnter());
        limiter.Release();
        await second.WaitAsync(Deadline, Cancel);
    }

    [Fact(Timeout = 120000)]
    public async Task Enter_Cancelled_LeavesTheQueueAndTakesNothing()
    {
        var limiter = new PermitLimiter(1);
        Assert.True(limiter.TryEnter());
        using var impatient = new CancellationTokenSource();
        Task first = limiter.EnterAsync(impatient.Token).AsTask();
        Task second = limiter.EnterAsync(Cancel).AsTask();

        await impatient.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first.WaitAsync(Deadline, Cancel));
        limiter.Release();

        await second.WaitAsync(Deadline, Cancel);
        Assert.Equal(0, limiter.Waiting);
    }

    [Fact(Timeout = 120000)]
    public async Task Most_Raised_LetsInWhoWaits()
    {
        var limiter = new PermitLimiter(1);
        Assert.True(limiter.TryEnter());
        Task[] waiting = [.. Enumerable.Range(0, 3).Select(_ => limiter.EnterAsync(Cancel).AsTask())];

        limiter.Most = 3;

        await Task.WhenAll(waiting[0], waiting[1]).WaitAsync(Deadline, Cancel);
        Assert.False(waiting[2].IsCompleted);
        Assert.Equal(1, limiter.Waiting);
    }

    [Fact]
    public void Most_Lowered_KeepsPermitsAndGrantsNoneUntilThereAreFewer()
    {
        var limiter = new PermitLimiter(3);
        Assert.All(Enumerable.Range(0, 3), _ => Assert.True(limiter.TryEnter()));

        limiter.Most = 1;

        limiter.Release();
        limiter.Release();
        Assert.False(limiter.TryEnter());
        limiter.Release();
        Assert.True(limiter.TryEnter());
    }

    [Fact(Timeout = 120000)]
    public async Task Enter_ManyAtOnceWithCancellations_LosesNoPlace()
    {
        var limiter = new PermitLimiter(4);
        int inside = 0;
        int most = 0;
        await Task.WhenAll(Enumerable.Range(0, 16).Select(seed => Task.Run(async () =>
        {
            var random = new Random(seed);
            for (int i = 0; i < 500; i++)
            {
                using var late = new CancellationTokenSource();
                Task entering = limiter.EnterAsync(late.Token).AsTask();
                if (random.Next(3) == 0)
                {
                    await late.CancelAsync();
                }

                try
                {
                    await entering.WaitAsync(Deadline, Cancel);
                }
                catch (OperationCanceledException)
                {
                    continue;
                }

                int now = Interlocked.Increment(ref inside);
                InterlockedMax(ref most, now);
                await Task.Yield();
                Interlocked.Decrement(ref inside);
                limiter.Release();
            }
        }, Cancel)));

        Assert.InRange(most, 1, 4);
        Assert.Equal((0, 0), (limiter.Taken, limiter.Waiting));
    }

    private static void InterlockedMax(ref int most, int value)
    {
        int seen;
        while ((seen = Volatile.Read(ref most)) < value && Interlocked.CompareExchange(ref most, value, seen) != seen)
        {
        }
    }
}
