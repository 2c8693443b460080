using ByteStreams.Transport.Validation;

namespace ByteStreams;

/// <summary>What a host does that loses its membership of the cluster.</summary>
public enum EvictionAction
{
    /// <summary>It serves no new client, ends its connections as at a stop of the host (reason <c>drained</c>), and exits with code 3.</summary>
    /// <remarks>A <c>Main</c> that returns a number decides the exit code itself.</remarks>
    Drain,

    /// <summary>It exits at once with code 3; its connections are reset.</summary>
    Exit,
}

/// <summary>The links between the hosts of a cluster: the section <c>ByteStreams:Cluster</c>, and <c>AddOrleansBackplane</c>.</summary>
/// <remarks>All hosts need the same values. They are read once, at the start.</remarks>
public sealed class ByteStreamClusterOptions
{
    /// <summary>The section of the configuration.</summary>
    public const string Section = "ByteStreams:Cluster";

    /// <summary>
    /// How long a host waits for an answer before it sends a batch again: 250 ms by default, from 10 ms to <see cref="LinkTimeout"/>. The pauses
    /// double, up to one second.
    /// </summary>
    public TimeSpan LinkRetry { get; set; } = TimeSpan.FromMilliseconds(250);

    /// <summary>
    /// How long a host may be silent: 5 s by default, from 100 ms to one hour. Then it is suspect: what waits for it is dropped and counted, and
    /// senders do not wait for it. It gets messages again after its first answer.
    /// </summary>
    public TimeSpan LinkTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The most bytes of messages that wait for one other host: 4 MiB by default, from 64 KiB to 64 MiB. Senders wait while it is full. A longer message is
    /// refused.
    /// </summary>
    public int LinkQueue { get; set; } = 4 << 20;

    /// <summary>
    /// How long <see cref="ByteStreamMember.JoinAsync"/> waits for the other hosts: 5 s by default, from 1 ms to one hour. The connection has
    /// joined all the same; a host that has not answered learns of the group when it does.
    /// </summary>
    public TimeSpan JoinTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>What this host does when the others have evicted it: <see cref="EvictionAction.Drain"/> by default.</summary>
    public EvictionAction OnEvicted { get; set; }

    /// <summary>
    /// The most connections of all hosts together: each takes its share, this number divided by the number of live hosts and rounded down, at
    /// least one. 0, the default, is for no such limit. The limit <c>ByteStreams:MaxConnections</c> of a host applies as well.
    /// </summary>
    public int ClusterMaxConnections { get; set; }

    /// <summary>The clock: that of the application's services by default, or the system's.</summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    internal static OptionRanges<ByteStreamClusterOptions> Ranges { get; } = new(
        new DurationOption<ByteStreamClusterOptions>(nameof(LinkRetry), new(TimeSpan.FromMilliseconds(10), TimeSpan.FromHours(1)), o => o.LinkRetry),
        new DurationOption<ByteStreamClusterOptions>(nameof(LinkTimeout), new(TimeSpan.FromMilliseconds(100), TimeSpan.FromHours(1)), o => o.LinkTimeout),
        new NumberOption<ByteStreamClusterOptions>(nameof(LinkQueue), new(64 << 10, 64 << 20), o => o.LinkQueue),
        new DurationOption<ByteStreamClusterOptions>(nameof(JoinTimeout), new(TimeSpan.FromMilliseconds(1), TimeSpan.FromHours(1)), o => o.JoinTimeout),
        new NumberOption<ByteStreamClusterOptions>(nameof(ClusterMaxConnections), NumberRange.AtLeastZero, o => o.ClusterMaxConnections));

    /// <summary>Returns what is wrong, a line for each: the key, the cause, the remedy.</summary>
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
