namespace Benchmarks.Cluster;

/// <summary>The backplane that carries messages to other hosts.</summary>
internal enum BackplaneKind
{
    /// <summary>ByteStreams.Orleans.</summary>
    Link,

    /// <summary>A grain for each group; each host subscribes an observer, and each call is awaited.</summary>
    Grain,

    /// <summary>Redis publish/subscribe, a channel for each group.</summary>
    Redis,
}
