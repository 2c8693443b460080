namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>The durations of the scenarios. The environment variable <c>BYTESTREAMS_LONG=1</c> selects the full durations.</summary>
internal static class ScenarioTimes
{
    private static readonly bool IsLong = Environment.GetEnvironmentVariable("BYTESTREAMS_LONG") == "1";

    /// <summary>The minimum time that a host is stopped by SIGSTOP. It is resumed after its eviction, 12 to 13 s on an idle machine.</summary>
    public static TimeSpan Frozen { get; } = TimeSpan.FromSeconds(IsLong ? 40 : 15);

    /// <summary>The downtime of the membership store: longer than LinkTimeout, and longer than the eviction of a host takes.</summary>
    public static TimeSpan StoreDown { get; } = TimeSpan.FromSeconds(IsLong ? 60 : 20);

    /// <summary>The duration of traffic before and after an event.</summary>
    public static TimeSpan Calm { get; } = TimeSpan.FromSeconds(IsLong ? 10 : 3);
}
