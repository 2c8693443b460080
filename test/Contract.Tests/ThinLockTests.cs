using ByteStreams.Transport;

namespace ByteStreams.Contract.Tests;

/// <summary>The lock in a field.</summary>
public sealed class ThinLockTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private ThinLock _lock;
    private int _count;

    [Fact]
    public void Enter_ManyThreads_OneAtATime()
    {
        const int threads = 8;
        const int rounds = 20_000;
        List<Thread> all = [.. Enumerable.Range(0, threads).Select(_ => new Thread(Count))];
        all.ForEach(thread => thread.Start());
        Assert.All(all, thread => Assert.True(thread.Join(Patience)));
        Assert.Equal(threads * rounds, _count);

        void Count()
        {
            for (int i = 0; i < rounds; i++)
            {
                using (_lock.Enter())
                {
                    int before = _count;
                    if (i % 1000 == 0)
                    {
                        // Another thread has to wait for long enough to park.
                        Thread.Yield();
                    }

                    _count = before + 1;
                }
            }
        }
    }

    [Fact]
    public void Enter_HeldForLong_WaitsAndIsWoken()
    {
        Thread[] waiting;
        using (_lock.Enter())
        {
            waiting = [.. Enumerable.Range(0, 4).Select(_ => new Thread(() =>
            {
                using (_lock.Enter())
                {
                    _count++;
                }
            }))];
            Array.ForEach(waiting, thread => thread.Start());
            Assert.True(SpinWait.SpinUntil(() => waiting.All(thread => thread.ThreadState == ThreadState.WaitSleepJoin), Patience));
            Assert.Equal(0, _count);
        }

        Assert.All(waiting, thread => Assert.True(thread.Join(Patience)));
        Assert.Equal(4, _count);
    }

    [Fact]
    public void Enter_AgainOnTheSameThread_IsHeldUntilTheLastExit()
    {
        var other = new Thread(() =>
        {
            using (_lock.Enter())
            {
                _count++;
            }
        });
        using (_lock.Enter())
        {
            using (_lock.Enter())
            {
                other.Start();
            }

            Assert.True(SpinWait.SpinUntil(() => other.ThreadState == ThreadState.WaitSleepJoin, Patience));
            Assert.Equal(0, _count);
        }

        Assert.True(other.Join(Patience));
        Assert.Equal(1, _count);
    }

    [Fact]
    public void Enter_RecursionBeyondTheCount_Throws()
    {
        Assert.Equal(127, Recurse());
        using (_lock.Enter())
        {
            _count++;
        }

        var other = new Thread(() =>
        {
            using (_lock.Enter())
            {
                _count++;
            }
        });
        other.Start();
        Assert.True(other.Join(Patience));
        Assert.Equal(2, _count);

        int Recurse(int depth = 0)
        {
            try
            {
                using (_lock.Enter())
                {
                    return Recurse(depth + 1);
                }
            }
            catch (LockRecursionException)
            {
                return depth - 1;
            }
        }
    }
}
