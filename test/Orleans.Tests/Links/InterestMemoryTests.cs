using ByteStreams.Cluster.Links;

namespace ByteStreams.Cluster.Tests.Links;

/// <summary>What a group costs on a host that has no member of it, and on the one that has.</summary>
[CollectionDefinition(nameof(InterestMemoryTests), DisableParallelization = true)]
[Collection(nameof(InterestMemoryTests))]
public sealed class InterestMemoryTests
{
    private const int Groups = 100_000;

    [Fact]
    public void PeerInterest_AGroup_CostsAtMost120Bytes()
    {
        var interest = new PeerInterest();

        Assert.InRange(Measure(group => interest.Add(group)) / Groups, 1, 120);

        Assert.Equal(Groups, interest.Count);
    }

    [Fact]
    public void PeerInterest_GroupsAreGone_GivesTheMemoryBack()
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
            0,
            200_000);

        Assert.Equal(0, interest.Count);
    }

    [Fact]
    public void LocalInterest_AGroup_CostsAtMost120Bytes()
    {
        var interest = new LocalInterest();

        Assert.InRange(Measure(group => interest.Add(group)) / Groups, 1, 120);

        Assert.Equal(Groups, interest.Count);
    }

    /// <summary>The numbers are spread as hashes are.</summary>
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
