namespace ByteStreams.Transport;

/// <summary>Limits a frequent log message to one line per interval, which reports the number of occurrences. Thread-safe.</summary>
/// <param name="time">The clock.</param>
/// <param name="interval">The shortest time between two lines.</param>
internal sealed class LogThrottle(TimeProvider time, TimeSpan interval)
{
    private readonly Lock _gate = new();
    private long? _last;
    private int _count;

    /// <summary>Counts an occurrence.</summary>
    /// <returns>The number of occurrences to log, this one included; 0 within the interval of the last line.</returns>
    public int Count()
    {
        lock (_gate)
        {
            _count++;
            long now = time.GetTimestamp();
            if (_last is long last && time.GetElapsedTime(last, now) < interval)
            {
                return 0;
            }

            int count = _count;
            (_last, _count) = (now, 0);
            return count;
        }
    }
}
