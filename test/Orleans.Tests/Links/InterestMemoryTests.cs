using ByteStreams.Cluster.Links;

namespace ByteStreams.Cluster.Tests.Links;

/// <summary>The memory of a group on a host without a member, and on a host with a member.</summary>
[CollectionDefinition(nameof(InterestMemoryTests), DisableParallelization = true)]
[Collection(nameof(InterestMemoryTests))]
public sealed class InterestMemoryTests
{
    private const int Groups = 100_000;

    [Fact]
    public void PeerInterest_OneGroup_TakesAtMost120Bytes()
    {
        var interest = new PeerInterest();

        Assert.InRange(Measure(group => interest.Add(group)) / Groups, 1, 120);

        Assert.Equal(Groups, interest.Count);
    }

    [Fact]
    public void PeerInterest_GroupsRemoved_ReleasesTheMemory()
    {
        var interest = new PeerInterest();

        Assert.InRange(
            Measure(
                group => interest.Add(group),
                () =>
                {
                    for (ulong group = 0; group < Groups; group++)
                    {
                        interest.Remove(Number(group));
                    }
                }),
            // Below zero if garbage of earlier tests was released meanwhile.
            -200_000,
            200_000);

        Assert.Equal(0, interest.Count);
    }

    [Fact]
    public void LocalInterest_OneGroup_TakesAtMost120Bytes()
    {
        var interest = new LocalInterest();

        Assert.InRange(Measure(group => interest.Add(group)) / Groups, 1, 120);

        Assert.Equal(Groups, interest.Count);
    }

    /// <summary>Spreads the numbers as hashes do.</summary>
    private static ulong Number(ulong group) => group * 0x9E3779B97F4A7C15;

    private static long Measure(Action<ulong> add, Action? then = null)
    {
        long before = GC.GetTotalMemory(forceFullCollection: true);
        for (ulong group = 0; group < Groups; group++)
        {
            add(Number(group));
        }

        then?.Invoke();
        return GC.GetTotalMemory(forceFullCollection: true) - before;
    }
}
