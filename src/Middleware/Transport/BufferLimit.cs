using Microsoft.Extensions.Logging;

namespace ByteStreams.Transport;

/// <summary>
/// The limit of <see cref="BufferedBytes"/>. Above it connections that hold more than a small block are not read, in order of their
/// pauses, until the total has fallen by an eighth of the limit; connections that hold less go on with small blocks.
/// </summary>
/// <remarks>
/// A reader that has asked is kept until a look resumes it: each 100 ms, and when the total has fallen. The timer runs only while the total is
/// above the limit or a reader is paused.
/// </remarks>
internal sealed class BufferLimit
{
    /// <summary>The largest block of a receive above the limit; a connection holds two at most, of which one is nearly empty.</summary>
    public const int SmallBlock = 1024;

    /// <summary>What a resumed reader is expected to take.</summary>
    private const int Growth = 65536;

    /// <summary>What a reader is expected to take whose peer has ended, at most.</summary>
    private const int LastGrowth = 262144;

    /// <summary>The eighth part of the memory that the process may use: the other parts are connections, handlers, and blocks that the pools keep.</summary>
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

    /// <param name="time">The clock of the looks and of the log.</param>
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

    /// <summary>The limit where none is configured: an eighth of the memory that the process may use, as the garbage collector knows it.</summary>
    public static long Derive() => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / DefaultShare;

    /// <summary>Sets another limit.</summary>
    /// <param name="limit">In bytes; zero for none, null for the derived one.</param>
    /// <returns>Whether it is another.</returns>
    public bool Change(long? limit)
    {
        long next = limit ?? Derive();
        bool isOther = Interlocked.Exchange(ref _limit, next) != next;
        Review();
        return isOther;
    }

    /// <summary>Logs there as well until the result is disposed; a logger that is given several times gets each line once.</summary>
    public IDisposable LogTo(ILogger logger)
    {
        lock (_gate)
        {
            _loggers.Add(logger);
            // What the others were told within the minute is news to this one.
            _loggedAt = null;
        }

        return new LogRegistration(this, logger);
    }

    /// <summary>Called with each new total, as far as the threads have reported. Near the limit the exact one is summed up.</summary>
    /// <param name="total">The reported total in bytes.</param>
    /// <param name="uncertainty">The most by which it differs from the exact one.</param>
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

    /// <summary>Pauses a reader that would receive into another block. Called under its lock.</summary>
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

    /// <summary>Looks at the total, and resumes as many readers as it allows.</summary>
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
    /// Above the limit: those whose handlers have consumed or whose peers have taken what they held; and, as far as another eighth allows,
    /// those whose peers have ended, whose memory would else be held although nothing more can come.
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
        // Without the caller's execution context, which would live as long as the timer.
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

        // Outside of the lock, which event loops enter: a log may block.
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
