using Microsoft.Extensions.Logging;

namespace ByteStreams.Transport;

/// <summary>
/// The limit of <see cref="BufferedBytes"/>. Above it, connections that hold more than a small block are not read until the total has
/// fallen by an eighth of the limit; they resume in the order of their pauses. Connections that hold less continue with small blocks.
/// </summary>
/// <remarks>
/// A review resumes paused readers every 100 ms and when the total has fallen. The timer runs only while the total is above the limit or a
/// reader is paused.
/// </remarks>
internal sealed class BufferLimit
{
    /// <summary>The largest block of a receive above the limit; a connection holds two at most, of which one is nearly empty.</summary>
    public const int SmallBlock = 1024;

    /// <summary>The bytes that a resumed reader is expected to buffer.</summary>
    private const int Growth = 65536;

    /// <summary>The most bytes that a resumed reader buffers whose peer has closed.</summary>
    private const int LastGrowth = 262144;

    /// <summary>The default is this fraction of the available memory. Connections, handlers and pooled blocks need the rest.</summary>
    private const int DefaultShare = 8;

    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan LogPeriod = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();
    private readonly TimeProvider _time;
    private readonly Func<long> _total;
    private readonly Queue<IPausedReader> _paused = new();
    private readonly List<ILogger> _loggers = [];
    private ITimer? _timer;
    private long _limit;
    private volatile bool _isExceeded;
    private volatile int _count;
    private int _isRequested;
    private int _isReviewing;
    private long? _loggedAt;
    private bool _isEndLogged = true;

    /// <param name="time">The clock of the reviews and of the log.</param>
    /// <param name="total">The bytes that are buffered.</param>
    /// <param name="limit">The limit in bytes; zero for none.</param>
    internal BufferLimit(TimeProvider time, Func<long> total, long limit)
    {
        _time = time;
        _total = total;
        _limit = limit;
    }

    /// <summary>The limit of this process.</summary>
    public static BufferLimit Process { get; } = new(TimeProvider.System, static () => BufferedBytes.Total, Derive());

    /// <summary>In bytes; zero for none.</summary>
    public long Limit => Volatile.Read(ref _limit);

    /// <summary>Whether the total is above the limit, or has been and has not fallen far enough.</summary>
    public bool IsExceeded => _isExceeded;

    /// <summary>Readers that are paused.</summary>
    public int Paused => _count;

    /// <summary>The default limit: an eighth of the memory that the garbage collector reports as available to the process.</summary>
    public static long Derive() => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / DefaultShare;

    /// <summary>Sets another limit.</summary>
    /// <param name="limit">In bytes; zero for none, null for the derived one.</param>
    /// <returns>Whether the limit has changed.</returns>
    public bool Change(long? limit)
    {
        long next = limit ?? Derive();
        bool isOther = Interlocked.Exchange(ref _limit, next) != next;
        Review();
        return isOther;
    }

    /// <summary>Adds a logger until the result is disposed. A logger that was added several times gets each line once.</summary>
    public IDisposable LogTo(ILogger logger)
    {
        lock (_gate)
        {
            _loggers.Add(logger);
            // The new logger has not seen the line that the others got within the minute.
            _loggedAt = null;
        }

        return new LogRegistration(this, logger);
    }

    /// <summary>Called with each new total that the threads report. Near the limit the exact total is computed.</summary>
    /// <param name="total">The reported total in bytes.</param>
    /// <param name="uncertainty">The most by which it differs from the exact total.</param>
    public void OnTotalChanged(long total, long uncertainty)
    {
        long limit = Limit;
        if (limit != 0 && Math.Abs(total - limit) < uncertainty)
        {
            total = _total();
        }

        bool isAbove = limit != 0 && total > limit;
        if (isAbove == _isExceeded && (isAbove || _count == 0 || total > Low(limit)))
        {
            return;
        }

        if (isAbove)
        {
            _isExceeded = true;
        }
        else if (total > Low(limit))
        {
            return;
        }

        if (Interlocked.Exchange(ref _isRequested, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(
                static self =>
                {
                    Volatile.Write(ref self._isRequested, 0);
                    self.Review();
                },
                this,
                preferLocal: false);
        }
    }

    /// <summary>Pauses a reader before it receives into another block. Called under the reader's lock.</summary>
    /// <returns>Whether it is paused; false where the total has fallen meanwhile.</returns>
    public bool TryPause(IPausedReader reader)
    {
        lock (_gate)
        {
            if (!_isExceeded)
            {
                return false;
            }

            reader.IsPaused = true;
            if (!reader.IsQueued)
            {
                reader.IsQueued = true;
                _paused.Enqueue(reader);
                _count = _paused.Count;
            }

            Start();
            return true;
        }
    }

    /// <summary>Compares the total with the limit, and resumes as many readers as it allows.</summary>
    internal void Review()
    {
        if (Interlocked.Exchange(ref _isReviewing, 1) != 0)
        {
            return;
        }

        long total = _total();
        var due = new List<(IPausedReader Reader, bool BeyondLimit)>();
        lock (_gate)
        {
            long limit = Limit;
            _isExceeded = limit != 0 && (_isExceeded ? total > Low(limit) : total > limit);
            if (_isExceeded)
            {
                TakeSmall(due, total, limit);
            }
            else
            {
                TakeFirst(due, limit == 0 ? long.MaxValue : Math.Max(1, (limit - total) / Growth));
            }

            _count = _paused.Count;
            if (_isExceeded || _count > 0)
            {
                Start();
            }
            else
            {
                _timer?.Dispose();
                _timer = null;
            }
        }

        Volatile.Write(ref _isReviewing, 0);
        foreach ((IPausedReader reader, bool beyondLimit) in due)
        {
            reader.Resume(beyondLimit);
        }

        Log(total);
    }

    private static long Low(long limit) => limit == 0 ? long.MaxValue : limit - (limit / 8);

    private void TakeFirst(List<(IPausedReader Reader, bool BeyondLimit)> due, long most)
    {
        while (due.Count < most && _paused.TryDequeue(out IPausedReader? reader))
        {
            reader.IsQueued = false;
            if (reader.IsPaused)
            {
                reader.IsPaused = false;
                due.Add((reader, false));
            }
        }
    }

    /// <summary>
    /// Resumes readers above the limit: those that hold little by now, and, within another eighth of the limit, those whose peers have
    /// closed, because their memory would be held although no more bytes can arrive.
    /// </summary>
    private void TakeSmall(List<(IPausedReader Reader, bool BeyondLimit)> due, long total, long limit)
    {
        long beyond = Math.Max(0, limit + (limit / 8) - total + LastGrowth - 1) / LastGrowth;
        for (int left = _paused.Count; left > 0; left--)
        {
            IPausedReader reader = _paused.Dequeue();
            bool last = false;
            if (reader.IsPaused && !reader.HoldsLittle && !(last = beyond > 0 && reader.HasPeerEnded))
            {
                _paused.Enqueue(reader);
                continue;
            }

            reader.IsQueued = false;
            if (reader.IsPaused)
            {
                reader.IsPaused = false;
                beyond -= last ? 1 : 0;
                due.Add((reader, last));
            }
        }
    }

    private void Start()
    {
        // The timer would keep the caller's execution context alive.
        using (ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow())
        {
            _timer ??= _time.CreateTimer(static self => ((BufferLimit)self!).Review(), this, Period, Period);
        }
    }

    private void Log(long total)
    {
        ILogger[] loggers;
        bool isExceeded;
        int paused;
        lock (_gate)
        {
            isExceeded = _isExceeded;
            paused = _count;
            if (isExceeded && (_loggedAt is not long at || _time.GetElapsedTime(at) >= LogPeriod))
            {
                _loggedAt = _time.GetTimestamp();
                _isEndLogged = false;
            }
            else if (!isExceeded && !_isEndLogged)
            {
                _isEndLogged = true;
            }
            else
            {
                return;
            }

            loggers = [.. _loggers.Distinct()];
        }

        // Outside of the lock, which event loops take: a logger may block.
        foreach (ILogger logger in loggers)
        {
            if (isExceeded)
            {
                TransportLog.BufferLimitExceeded(logger, total, Limit, paused);
            }
            else
            {
                TransportLog.BufferLimitKept(logger, total, Limit);
            }
        }
    }

    private void EndLog(ILogger logger)
    {
        lock (_gate)
        {
            _loggers.Remove(logger);
        }
    }

    private sealed class LogRegistration(BufferLimit limit, ILogger logger) : IDisposable
    {
        private BufferLimit? _limit = limit;

        public void Dispose() => Interlocked.Exchange(ref _limit, null)?.EndLog(logger);
    }
}
