namespace ByteStreams.Transport;

/// <summary>Limits a log message about something frequent to one line a second, which reports how often it happened. Thread-safe.</summary>
/// <param name="time">The clock.</param>
internal sealed class LogThrottle(TimeProvider time)
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private long? _last;
    private int _count;

    /// <summary>Counts an occurrence.</summary>
    /// <returns>The number of occurrences to log, this one included; 0 within a second of the last line.</returns>
    public int Count()
    {
        lock (_gate)
        {
            _count++;
            long now = time.GetTimestamp();
            if (_last is long last && time.GetElapsedTime(last, now) < Interval)
            {
                return 0;
            }

            int count = _count;
            (_last, _count) = (now, 0);
            return count;
        }
    }
}
