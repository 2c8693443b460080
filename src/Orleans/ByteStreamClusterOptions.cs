using ByteStreams.Transport.Validation;

namespace ByteStreams;

/// <summary>The action of a host that is evicted from the cluster.</summary>
public enum EvictionAction
{
    /// <summary>The host rejects new clients, drains its connections as on shutdown (reason <c>drained</c>), and exits with code 3.</summary>
    /// <remarks>If <c>Main</c> returns a number, that number is the exit code.</remarks>
    Drain,

    /// <summary>The process exits immediately with code 3; its connections are reset.</summary>
    Exit,
}

/// <summary>Options of the links between the hosts of a cluster: the section <c>ByteStreams:Cluster</c>, then <c>AddOrleansBackplane</c>.</summary>
/// <remarks>
/// Configure the same values on all hosts. The options are read and validated once, at the start; a value out of range throws an
/// <see cref="EndpointConfigurationException"/> there.
/// </remarks>
public sealed class ByteStreamClusterOptions
{
    /// <summary>The path of the configuration section.</summary>
    public const string Section = "ByteStreams:Cluster";

    /// <summary>
    /// The time without an acknowledgement after which a batch is resent: 250 ms by default, from 10 ms to <see cref="LinkTimeout"/>. It doubles
    /// with each retry, up to 1 s. A smaller value resends earlier after a broken connection, and sends more duplicates to a busy host.
    /// </summary>
    public TimeSpan LinkRetry { get; set; } = TimeSpan.FromMilliseconds(250);

    /// <summary>
    /// The time without an answer after which a host is suspect: 5 s by default, from 100 ms to 1 h. Messages queued for a suspect host are dropped
    /// and counted, and senders do not wait for it. It receives messages again after its first answer.
    /// </summary>
    public TimeSpan LinkTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The maximum number of bytes queued for one other host: 4 MiB by default, from 64 KiB to 64 MiB. Senders wait while the queue is full. A
    /// message longer than the queue is rejected with an <see cref="ArgumentException"/>.
    /// </summary>
    public int LinkQueue { get; set; } = 4 << 20;

    /// <summary>
    /// The maximum time that <see cref="ByteStreamMember.JoinAsync"/> waits for other hosts: 5 s by default, from 1 ms to 1 h. After it, the join
    /// completes without an error; an unresponsive host receives the announcement with its next answer.
    /// </summary>
    public TimeSpan JoinTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>The action of this host after its eviction: <see cref="EvictionAction.Drain"/> by default.</summary>
    public EvictionAction OnEvicted { get; set; }

    /// <summary>
    /// The connection limit of the whole cluster; 0, the default, for no limit. Each host gets a share: the limit divided by the number of live
    /// hosts, rounded down, at least 1. Before a host is a member it rejects connections. The host's own limit <c>ByteStreams:MaxConnections</c>
    /// applies as well.
    /// </summary>
    public int ClusterMaxConnections { get; set; }

    /// <summary>
    /// The clock of all timeouts: by default the registered <see cref="System.TimeProvider"/>, or <see cref="System.TimeProvider.System"/> if there is
    /// none.
    /// </summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    internal static OptionRanges<ByteStreamClusterOptions> Ranges { get; } = new(
        new DurationOption<ByteStreamClusterOptions>(nameof(LinkRetry), new(TimeSpan.FromMilliseconds(10), TimeSpan.FromHours(1)), o => o.LinkRetry),
        new DurationOption<ByteStreamClusterOptions>(nameof(LinkTimeout), new(TimeSpan.FromMilliseconds(100), TimeSpan.FromHours(1)), o => o.LinkTimeout),
        new NumberOption<ByteStreamClusterOptions>(nameof(LinkQueue), new(64 << 10, 64 << 20), o => o.LinkQueue),
        new DurationOption<ByteStreamClusterOptions>(nameof(JoinTimeout), new(TimeSpan.FromMilliseconds(1), TimeSpan.FromHours(1)), o => o.JoinTimeout),
        new NumberOption<ByteStreamClusterOptions>(nameof(ClusterMaxConnections), NumberRange.AtLeastZero, o => o.ClusterMaxConnections));

    /// <summary>Returns the validation errors, one line each: the key, the cause, the remedy.</summary>
    internal IEnumerable<string> GetErrors()
    {
        foreach (string error in Ranges.Validate(this, $"{Section}:"))
        {
            yield return error;
        }

        if (LinkRetry > LinkTimeout)
        {
            yield return $"{Section}:{nameof(LinkRetry)}: {LinkRetry} is longer than LinkTimeout, {LinkTimeout}. Set a shorter time.";
        }

        if (!Enum.IsDefined(OnEvicted))
        {
            yield return $"{Section}:{nameof(OnEvicted)}: {OnEvicted} is unknown. Set Drain or Exit.";
        }
    }
}
