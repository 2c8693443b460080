namespace Benchmarks.Cluster;

/// <summary>How a message gets to the other host.</summary>
internal enum Way
{
    /// <summary>ByteStreams.Orleans.</summary>
    Link,

    /// <summary>A grain for each group, to which each host has subscribed with an observer; each call is awaited.</summary>
    Grain,

    /// <summary>Redis publish/subscribe, a channel for each group.</summary>
    Redis,
}
