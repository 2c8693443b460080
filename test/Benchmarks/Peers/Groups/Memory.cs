using System.Runtime;

namespace Benchmarks.Groups;

internal static class Memory
{
    /// <summary>Collects everything, compacts, and returns the bytes of live objects.</summary>
    public static async Task<long> CollectAsync(CancellationToken cancellationToken)
    {
        // Off the event loop, whose stack holds what it dispatches.
        await Task.Delay(TimeSpan.FromMilliseconds(100), cancellationToken);
        for (int i = 0; i < 2; i++)
        {
            GCSettings.LargeObjectHeapCompactionMode = GCLargeObjectHeapCompactionMode.CompactOnce;
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }

        return GC.GetTotalMemory(forceFullCollection: true);
    }
}
