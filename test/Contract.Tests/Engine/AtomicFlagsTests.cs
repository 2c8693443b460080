using ByteStreams.Transport.Epoll;

namespace ByteStreams.Contract.Tests.Engine;

/// <summary>Flags without a lock.</summary>
public sealed class AtomicFlagsTests
{
    private AtomicFlags<Readiness> _flags;

    [Fact]
    public void TryChange_NoneOfTheOthersIsSet_SetsAndClears()
    {
        _flags.Set(Readiness.Readable | Readiness.Writable);
        Assert.True(_flags.TryChange(Readiness.ReceiveWaits, clear: Readiness.Readable, unless: Readiness.Closed));
        Assert.False(_flags.HasAny(Readiness.Readable));
        Assert.True(_flags.HasAny(Readiness.ReceiveWaits));
        Assert.True(_flags.HasAny(Readiness.Writable));
    }

    [Fact]
    public void TryChange_OneOfTheOthersIsSet_ChangesNothing()
    {
        _flags.Set(Readiness.Readable | Readiness.Closed);
        Assert.False(_flags.TryChange(Readiness.ReceiveWaits, clear: Readiness.Readable, unless: Readiness.Closed | Readiness.Writable));
        Assert.Equal(Readiness.Readable | Readiness.Closed, _flags.Clear(Readiness.None));
    }

    [Fact]
    public void Change_ManyThreads_EachFlagIsTakenOnce()
    {
        const int rounds = 50_000;
        int taken = 0;
        int given = 0;
        var giver = new Thread(() =>
        {
            for (int i = 0; i < rounds; i++)
            {
                given += (_flags.Change(Readiness.Readable, clear: Readiness.None) & Readiness.Readable) == 0 ? 1 : 0;
            }
        });
        giver.Start();
        while (giver.IsAlive)
        {
            Take();
        }

        Take();
        Assert.True(giver.Join(TimeSpan.FromSeconds(60)));
        Take();
        Assert.Equal(given, taken);

        void Take() => taken += (_flags.Change(Readiness.Writable, clear: Readiness.Readable) & Readiness.Readable) == 0 ? 0 : 1;
    }
}
