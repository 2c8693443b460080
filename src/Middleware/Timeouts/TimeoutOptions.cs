using ByteStreams.Transport.Text;
using ByteStreams.Transport.Validation;

namespace ByteStreams;

/// <summary>
/// How long a peer may take for what. Each is separate, none resets another, and all are measured by a monotonic clock (a wall
/// clock that jumps changes nothing). Each counts from its own instant, to a hundredth of a second, and is looked at each second: a
/// connection ends at most 1.1 s after its time is over, and never before.
/// </summary>
/// <remarks>
/// A connection that is over its time is closed: what was written is delivered if the peer takes it within 5 s, and a read that
/// waits fails. A stalled sender's is aborted. A relay's connection to the upstream ends at once with its client's. Nothing of this costs a timer or an allocation per read.
/// </remarks>
public sealed class TimeoutOptions
{
    /// <summary>Timeouts are compared with a clock, and no timer bounds them.</summary>
    private static readonly DurationRange TimeoutRange = DurationRange.Positive with { Maximum = TimeSpan.FromDays(365) };

    internal static OptionRanges<TimeoutOptions> Ranges { get; } = new(
        new DurationOption<TimeoutOptions>(nameof(FirstByte), TimeoutRange, o => o.FirstByte),
        new DurationOption<TimeoutOptions>(nameof(ReceiveIdle), TimeoutRange, o => o.ReceiveIdle),
        new DurationOption<TimeoutOptions>(nameof(SendStall), TimeoutRange, o => o.SendStall),
        new NumberOption<TimeoutOptions>(nameof(MinReceiveRate), NumberRange.AtLeastOne, o => o.MinReceiveRate),
        new DurationOption<TimeoutOptions>(nameof(MinReceiveRateGrace), TimeoutRange, o => o.MinReceiveRateGrace),
        new DurationOption<TimeoutOptions>(nameof(Lifetime), TimeoutRange, o => o.Lifetime),
        new DurationOption<TimeoutOptions>(nameof(HalfClosed), TimeoutRange, o => o.HalfClosed));

    /// <summary>The time from the start of the connection, with TLS from the end of the handshake, to its first byte. None by default (null).</summary>
    public TimeSpan? FirstByte { get; set; }

    /// <summary>
    /// How long a read may wait without a byte, from the last byte or, if that is later, from the moment at which the read began to wait.
    /// None by default (null). What is sent does not count; nor does time in which the handler does not read, because the peer is not late
    /// then.
    /// </summary>
    public TimeSpan? ReceiveIdle { get; set; }

    /// <summary>
    /// How long bytes may wait without the peer taking one, from the last byte that was taken or from the moment at which they began to
    /// wait: 60 s by default, null for ever. It bounds what peers that never read can hold. A relay's upstream counts as its client does:
    /// where it takes nothing, both connections end.
    /// </summary>
    public TimeSpan? SendStall { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// Bytes a second, on average, at which the rest of a message must arrive once a part of it is there and a read waits for the
    /// rest (slow senders: slowloris). Over TLS a record that is incomplete is such a part. None by default (null), at least 1.
    /// </summary>
    public int? MinReceiveRate { get; set; }

    /// <summary>How long such a message may take before its rate is looked at: 5 s by default.</summary>
    public TimeSpan MinReceiveRateGrace { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a connection may last in all, from its accept. No bound by default (null).</summary>
    public TimeSpan? Lifetime { get; set; }

    /// <summary>
    /// How long one direction may stay open after the end of the other. No bound by default (null). In a relay, the end of a client counts
    /// also while it is not read because the upstream takes nothing.
    /// </summary>
    public TimeSpan? HalfClosed { get; set; }

    internal bool IsEmpty => FirstByte is null && ReceiveIdle is null && SendStall is null && MinReceiveRate is null && Lifetime is null && HalfClosed is null;

    /// <exception cref="ArgumentException">Anything is wrong; the message tells it all.</exception>
    internal void Validate() => ValidationErrors.ThrowIfAny(GetErrors());

    /// <summary>What is wrong; each begins with its key.</summary>
    internal IEnumerable<string> GetErrors() => Ranges.Validate(this, "Timeouts:");
}
