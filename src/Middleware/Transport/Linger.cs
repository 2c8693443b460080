namespace ByteStreams.Transport;

/// <summary>
/// A connection whose output is finished and which waits for the peer's FIN. Bytes that arrive are discarded, because a socket that is closed
/// with unread bytes sends a reset, which destroys what the peer has not read yet (docs/decisions/0003).
/// </summary>
/// <remarks>
/// The discarded bytes are not bounded while the peer has unacknowledged bytes (it may have to send before it reads); after that the bound is
/// <see cref="ByteStreamTransportOptions.LingerBytes"/> at once and in each slice. The time is bounded by
/// <see cref="ByteStreamTransportOptions.LingerTimeout"/> without an acknowledgement, and by <see cref="MostTimeouts"/> timeouts in all.
/// </remarks>
internal sealed class Linger(ILingering connection, ByteChannel channel, ByteStreamTransportOptions options)
{
    /// <summary>The slices of the timeout: 20 of 100 ms by default, so that a peer with 16 MiB left to send can send them.</summary>
    public const int Slices = 20;

    /// <summary>The bound for a peer that acknowledges one byte in each timeout: a minute by default.</summary>
    private const int MostTimeouts = 30;

    private static long _count;

    private readonly int _slices = SlicesOf(options.LingerTimeout);

    private int _slice;
    private int _unacknowledged;

    /// <summary>The lingering connections of this process.</summary>
    public static long Count => Interlocked.Read(ref _count);

    /// <summary>The timer that it is registered with; null without one.</summary>
    public LingerTimer? Timer { get; set; }

    /// <summary>Its index in the timer's list.</summary>
    public int Index { get; set; }

    /// <summary>In whole milliseconds, the resolution of the system's timers: a shorter period would fire only once.</summary>
    public TimeSpan Slice => TimeSpan.FromMilliseconds(Milliseconds(options.LingerTimeout / _slices));

    public TimeProvider Time => options.TimeProvider;

    public void Begin()
    {
        Interlocked.Increment(ref _count);
        LingerTimer.Add(this);
        connection.Discard(options.LingerBytes);
    }

    /// <summary>The connection is closed.</summary>
    public void End()
    {
        if (LingerTimer.Remove(this))
        {
            Interlocked.Decrement(ref _count);
        }
    }

    /// <summary>The bytes that one slice allows were discarded.</summary>
    public void OnDiscarded()
    {
        if (options.LingerBytes > 0 && channel.Unacknowledged > 0)
        {
            connection.Discard(options.LingerBytes);
        }
    }

    /// <summary>A slice of the time has passed.</summary>
    public void OnSlice()
    {
        if (++_slice == 1)
        {
            // Not earlier: most peers close within the first slice, which saves the system call.
            _unacknowledged = channel.Unacknowledged;
        }
        else if (_slice % _slices == 0)
        {
            int left = channel.Unacknowledged;
            if (left == 0 || left >= _unacknowledged || _slice >= _slices * MostTimeouts)
            {
                connection.OnLingered(left);
                return;
            }

            _unacknowledged = left;
        }

        connection.Discard(options.LingerBytes);
    }

    /// <summary>Fewer than <see cref="Slices"/> for a timeout of fewer milliseconds.</summary>
    private static int SlicesOf(TimeSpan timeout) => (int)Math.Min(Slices, Milliseconds(timeout));

    private static long Milliseconds(TimeSpan time) => Math.Max(1, (long)Math.Ceiling(time.TotalMilliseconds));
}

/// <summary>A connection that can linger.</summary>
internal interface ILingering
{
    /// <summary>Receives and discards up to <paramref name="bytes"/> more.</summary>
    void Discard(long bytes);

    /// <summary>The linger time has elapsed.</summary>
    /// <param name="unacknowledged">Bytes that the peer's side has not acknowledged.</param>
    void OnLingered(int unacknowledged);
}
