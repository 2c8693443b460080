namespace ByteStreams.Transport;

/// <summary>
/// A connection whose output is finished and which waits for the peer's end: what arrives is received and discarded, because a socket that
/// is closed with unread bytes sends a reset, which destroys what the peer has not read yet (docs/decisions/0003).
/// </summary>
/// <remarks>
/// The amount is not bounded while the peer has not acknowledged everything (it may have to send before it reads); after that it is
/// <see cref="ByteStreamTransportOptions.LingerBytes"/> at once and in each slice of the time. The time is
/// <see cref="ByteStreamTransportOptions.LingerTimeout"/> without an acknowledgement, and <see cref="MostTimeouts"/> of them in all.
/// </remarks>
internal sealed class Linger(ILingering connection, ByteChannel channel, ByteStreamTransportOptions options)
{
    /// <summary>The slices of the timeout: 20 of 100 ms by default, so that a peer with 16 MiB left to send can send them.</summary>
    public const int Slices = 20;

    /// <summary>A peer that acknowledges one byte in each timeout does not hold its socket for longer: a minute by default.</summary>
    private const int MostTimeouts = 30;

    private static long _count;

    private readonly int _slices = SlicesOf(options.LingerTimeout);

    private int _slice;
    private int _unacknowledged;

    /// <summary>The connections of this process that linger.</summary>
    public static long Count => Interlocked.Read(ref _count);

    /// <summary>The timer that keeps it; null if none does.</summary>
    public LingerTimer? Timer { get; set; }

    /// <summary>Where the timer keeps it.</summary>
    public int Index { get; set; }

    /// <summary>Whole milliseconds, which is what the system's timers count: one of less would fire only once.</summary>
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

    /// <summary>As many bytes were discarded as one slice allows.</summary>
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
            // Not before: most peers end within the first slice, and need not be asked.
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

    /// <summary>Fewer where the timeout has not so many milliseconds.</summary>
    private static int SlicesOf(TimeSpan timeout) => (int)Math.Min(Slices, Milliseconds(timeout));

    private static long Milliseconds(TimeSpan time) => Math.Max(1, (long)Math.Ceiling(time.TotalMilliseconds));
}

/// <summary>A connection that can linger.</summary>
internal interface ILingering
{
    /// <summary>Receives and discards up to so many bytes more.</summary>
    void Discard(long bytes);

    /// <summary>The time is over.</summary>
    /// <param name="unacknowledged">Bytes that the peer's side has not acknowledged.</param>
    void OnLingered(int unacknowledged);
}
