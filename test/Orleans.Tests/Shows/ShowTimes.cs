namespace ByteStreams.Cluster.Tests.Shows;

/// <summary>The lengths of the shows that take long. <c>BYTESTREAMS_LONG=1</c> in the environment sets the full ones.</summary>
internal static class ShowTimes
{
    private static readonly bool IsLong = Environment.GetEnvironmentVariable("BYTESTREAMS_LONG") == "1";

    /// <summary>How long a host is stopped by SIGSTOP. A stop ends after its eviction at the earliest, 12 to 13 s on an idle machine.</summary>
    public static TimeSpan Frozen { get; } = TimeSpan.FromSeconds(IsLong ? 40 : 15);

    /// <summary>How long the membership store is down: longer than LinkTimeout and than the eviction of a host would take.</summary>
    public static TimeSpan StoreDown { get; } = TimeSpan.FromSeconds(IsLong ? 60 : 20);

    /// <summary>How long messages flow before and after an event.</summary>
    public static TimeSpan Calm { get; } = TimeSpan.FromSeconds(IsLong ? 10 : 3);
}
