using Microsoft.Extensions.Logging;

namespace ByteStreams.Cluster;

/// <summary>The log messages of the cluster. Event ids 740 to 759.</summary>
internal static partial class ClusterLog
{
    [LoggerMessage(740, LogLevel.Information, "Host {Host} joined the cluster; exchanging groups.")]
    public static partial void HostJoined(ILogger logger, SiloAddress host);

    [LoggerMessage(741, LogLevel.Information, "Host {Host} left the cluster.")]
    public static partial void HostLeft(ILogger logger, SiloAddress host);

    [LoggerMessage(742, LogLevel.Warning, "Host {Host} is suspect: no answer for {Seconds} s, or each batch rejected. {Dropped} messages dropped; new messages for it are dropped until it accepts a batch.")]
    public static partial void HostIsSuspect(ILogger logger, SiloAddress host, double seconds, int dropped);

    [LoggerMessage(743, LogLevel.Information, "Host {Host} answers again and is no longer suspect.")]
    public static partial void HostIsBack(ILogger logger, SiloAddress host);

    [LoggerMessage(744, LogLevel.Warning, "Link to host {Host} was idle for too long and restarts. {Dropped} messages dropped.")]
    public static partial void LinkRenewed(ILogger logger, SiloAddress host, int dropped);

    [LoggerMessage(745, LogLevel.Debug, "Sending a batch to host {Host} failed; retrying.")]
    public static partial void AttemptFailed(ILogger logger, Exception failure, SiloAddress host);

    [LoggerMessage(746, LogLevel.Error, "Batch from host {Host} rejected: it cannot be decoded. Run the same version of ByteStreams.Orleans on all hosts.")]
    public static partial void BatchUnreadable(ILogger logger, Exception error, SiloAddress host);

    [LoggerMessage(747, LogLevel.Critical, "Link to host {Host} closed after an unexpected exception. This is a bug in ByteStreams.Orleans; report it.")]
    public static partial void LinkFailed(ILogger logger, Exception fault, SiloAddress host);

    [LoggerMessage(748, LogLevel.Critical, "This host was evicted from the cluster: {Cause}. Stopping ({Action}) with exit code 3.")]
    public static partial void Evicted(ILogger logger, string cause, EvictionAction action);

    [LoggerMessage(749, LogLevel.Information, "Ready to serve clients; groups of {Hosts} other hosts received.")]
    public static partial void Ready(ILogger logger, int hosts);

    [LoggerMessage(750, LogLevel.Error, "Membership store has no entry for this host, because it was emptied or replaced. This host is not ready. Restore the store, or restart all hosts.")]
    public static partial void StoreLostThisHost(ILogger logger);

    [LoggerMessage(751, LogLevel.Information, "Membership store has the entry for this host again.")]
    public static partial void StoreHasThisHost(ILogger logger);

    [LoggerMessage(752, LogLevel.Warning, "Membership store unreachable. Known hosts continue to exchange messages.")]
    public static partial void StoreUnreachable(ILogger logger, Exception failure);

    [LoggerMessage(753, LogLevel.Information, "Membership store reachable again.")]
    public static partial void StoreReachable(ILogger logger);

    [LoggerMessage(754, LogLevel.Information, "Connection limit of this host is {Share}: its share of {All} with {Hosts} live hosts.")]
    public static partial void Share(ILogger logger, int share, int all, int hosts);

    [LoggerMessage(755, LogLevel.Critical, "{Context}")]
    public static partial void Fatal(ILogger logger, Exception? exception, string? context);

    [LoggerMessage(756, LogLevel.Warning, "Shutdown: {Bytes} bytes still queued for other hosts were dropped.")]
    public static partial void FlushEnded(ILogger logger, long bytes);

    [LoggerMessage(758, LogLevel.Information, "Host {Host} is leaving the cluster; link closed.")]
    public static partial void HostLeaves(ILogger logger, SiloAddress host);

    [LoggerMessage(757, LogLevel.Debug, "Presence query to host {Host} failed.")]
    public static partial void QuestionFailed(ILogger logger, Exception failure, SiloAddress host);
}
