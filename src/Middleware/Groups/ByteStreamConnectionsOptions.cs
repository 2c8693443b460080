namespace ByteStreams;

/// <summary>The options of <see cref="ByteStreamConnections"/>.</summary>
public sealed class ByteStreamConnectionsOptions
{
    /// <summary>The default of <see cref="MaxPending"/>, in bytes.</summary>
    internal const long DefaultMaxPending = 1 << 20;

    /// <summary>The least value of <see cref="MaxPending"/>, in bytes.</summary>
    internal const long LeastMaxPending = 1024;

    /// <summary>The default of <see cref="PendingTimeout"/>.</summary>
    internal static readonly TimeSpan DefaultPendingTimeout = TimeSpan.FromSeconds(30);

    private long _maxPending = DefaultMaxPending;
    private TimeSpan _pendingTimeout = DefaultPendingTimeout;

    /// <summary>
    /// The maximum number of bytes that wait for one connection, beyond its write buffer (64 KiB): 1 MiB by default, at least 1 KiB. A connection
    /// for which more would wait is aborted with <see cref="ConnectionCloseReason.SlowConsumer"/>. The bytes of a message are kept once for all
    /// connections that it waits for.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1 KiB.</exception>
    public long MaxPending
    {
        get => _maxPending;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, LeastMaxPending);
            _maxPending = value;
        }
    }

    /// <summary>
    /// How long a connection for which messages wait may take to read its write buffer down to the low-water mark (16 KiB): 30 s by default,
    /// greater than zero. Then it is aborted as above. A peer that reads a byte now and then does not extend it.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Zero or less.</exception>
    public TimeSpan PendingTimeout
    {
        get => _pendingTimeout;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(value, TimeSpan.Zero);
            _pendingTimeout = value;
        }
    }

    /// <summary>The clock of <see cref="PendingTimeout"/>; the system's by default.</summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;
}
