using Microsoft.Extensions.Logging;

namespace ByteStreams.Cluster;

/// <summary>The log messages of the cluster. Event ids 740 to 759.</summary>
internal static partial class ClusterLog
{
    [LoggerMessage(740, LogLevel.Information, "The host {Host} is in the cluster; it and this host exchange their groups.")]
    public static partial void HostJoined(ILogger logger, SiloAddress host);

    [LoggerMessage(741, LogLevel.Information, "The host {Host} has left the cluster.")]
    public static partial void HostLeft(ILogger logger, SiloAddress host);

    [LoggerMessage(742, LogLevel.Warning, "The host {Host} has not answered for {Seconds} s, or refuses each batch: no message is queued for it until it accepts one. {Lost} messages for it are lost.")]
    public static partial void HostIsSuspect(ILogger logger, SiloAddress host, double seconds, int lost);

    [LoggerMessage(743, LogLevel.Information, "The host {Host} answers again.")]
    public static partial void HostIsBack(ILogger logger, SiloAddress host);

    [LoggerMessage(744, LogLevel.Warning, "The link to the host {Host} was silent for too long and begins again. {Lost} messages for it are lost.")]
    public static partial void LinkRenewed(ILogger logger, SiloAddress host, int lost);

    [LoggerMessage(745, LogLevel.Debug, "An attempt to send to the host {Host} failed; another one follows.")]
    public static partial void AttemptFailed(ILogger logger, Exception failure, SiloAddress host);

    [LoggerMessage(746, LogLevel.Error, "A batch of the host {Host} cannot be read. All hosts need the same version of ByteStreams.Orleans.")]
    public static partial void BatchUnreadable(ILogger logger, Exception error, SiloAddress host);

    [LoggerMessage(747, LogLevel.Critical, "The link to the host {Host} has failed: nothing is sent to it any more. This is a fault of ByteStreams.Orleans.")]
    public static partial void LinkFailed(ILogger logger, Exception fault, SiloAddress host);

    [LoggerMessage(748, LogLevel.Critical, "This host is no member of the cluster any more: {Cause}. It ends ({Action}); exit code 3.")]
    public static partial void Evicted(ILogger logger, string cause, EvictionAction action);

    [LoggerMessage(749, LogLevel.Information, "This host serves clients: it knows the groups of {Hosts} other hosts.")]
    public static partial void Ready(ILogger logger, int hosts);

    [LoggerMessage(750, LogLevel.Error, "The membership store has no entry of this host: it was emptied, or another one is in use. The host is not ready. Restore the store, or restart all hosts.")]
    public static partial void StoreLostThisHost(ILogger logger);

    [LoggerMessage(751, LogLevel.Information, "The membership store has the entry of this host again.")]
    public static partial void StoreHasThisHost(ILogger logger);

    [LoggerMessage(752, LogLevel.Warning, "The membership store cannot be read. Messages go on between the hosts that know each other.")]
    public static partial void StoreUnreachable(ILogger logger, Exception failure);

    [LoggerMessage(753, LogLevel.Information, "The membership store can be read again.")]
    public static partial void StoreReachable(ILogger logger);

    [LoggerMessage(754, LogLevel.Information, "This host takes at most {Share} connections: its share of {All} with {Hosts} live hosts.")]
    public static partial void Share(ILogger logger, int share, int all, int hosts);

    [LoggerMessage(755, LogLevel.Critical, "{Context}")]
    public static partial void Fatal(ILogger logger, Exception? exception, string? context);

    [LoggerMessage(756, LogLevel.Warning, "At the stop, {Bytes} bytes were still queued for other hosts.")]
    public static partial void FlushEnded(ILogger logger, long bytes);

    [LoggerMessage(758, LogLevel.Information, "The host {Host} is leaving the cluster; nothing more is sent to it.")]
    public static partial void HostLeaves(ILogger logger, SiloAddress host);

    [LoggerMessage(757, LogLevel.Debug, "The host {Host} did not tell who is there.")]
    public static partial void QuestionFailed(ILogger logger, Exception failure, SiloAddress host);
}
