namespace ByteStreams;

/// <summary>Options of <see cref="ByteStreamConnections"/>. They are read once, in its constructor.</summary>
public sealed class ByteStreamConnectionsOptions
{
    /// <summary>The default of <see cref="MaxPending"/>, in bytes.</summary>
    internal const long DefaultMaxPending = 1 << 20;

    /// <summary>The minimum of <see cref="MaxPending"/>, in bytes.</summary>
    internal const long MinimumMaxPending = 1024;

    /// <summary>The default of <see cref="PendingTimeout"/>.</summary>
    internal static readonly TimeSpan DefaultPendingTimeout = TimeSpan.FromSeconds(30);

    private long _maxPending = DefaultMaxPending;
    private TimeSpan _pendingTimeout = DefaultPendingTimeout;

    /// <summary>
    /// The maximum number of bytes queued for one connection, in addition to its write buffer (64 KiB): 1 MiB by default, at least 1 KiB. A
    /// message that would exceed it aborts the connection with <see cref="ConnectionCloseReason.SlowConsumer"/>. A message is stored once for all
    /// connections that it is queued for. A greater value tolerates longer stalls, and costs up to that much memory for each slow connection.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is less than 1 KiB.</exception>
    public long MaxPending
    {
        get => _maxPending;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, MinimumMaxPending);
            _maxPending = value;
        }
    }

    /// <summary>
    /// The time in which a connection with queued messages must drain its write buffer to the low-water mark (16 KiB): 30 s by default, greater
    /// than zero. After it, the connection is aborted with <see cref="ConnectionCloseReason.SlowConsumer"/>. Reading single bytes does not extend it.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is zero or negative.</exception>
    public TimeSpan PendingTimeout
    {
        get => _pendingTimeout;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(value, TimeSpan.Zero);
            _pendingTimeout = value;
        }
    }

    /// <summary>The clock of <see cref="PendingTimeout"/> and of the order of registrations: <see cref="TimeProvider.System"/> by default.</summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;
}
