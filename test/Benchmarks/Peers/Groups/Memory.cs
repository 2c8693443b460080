using System.Runtime;

namespace Benchmarks.Groups;

internal static class Memory
{
    /// <summary>Runs full compacting collections, and returns the bytes of live objects.</summary>
    public static async Task<long> CollectAsync(CancellationToken cancellationToken)
    {
        // Leaves the event loop, because references on its stack keep objects alive.
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
