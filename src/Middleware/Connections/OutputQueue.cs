using ByteStreams.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// A bounded queue of log text and the thread that writes it. A caller never waits: standard output may be a pipe that is not read, and a
/// write to it blocks for ever. Text that does not fit, or that cannot be written, is dropped and counted. Thread-safe.
/// </summary>
/// <param name="write">Writes one text. It may block and throw.</param>
/// <param name="notice">Makes the text that reports a number of drops.</param>
/// <param name="capacity">The most texts that wait: at least 1.</param>
/// <param name="time">The clock of the reports.</param>
/// <exception cref="ArgumentOutOfRangeException"><paramref name="capacity"/> is zero or less.</exception>
public sealed class OutputQueue(Action<string> write, Func<long, string> notice, int capacity, TimeProvider time) : IDisposable
{
    /// <summary>The category of <see cref="LogDropped"/>.</summary>
    public const string LogCategory = OutputLog.Category;

    /// <summary>The time that <see cref="Dispose"/> waits for an output that is not read.</summary>
    public static readonly TimeSpan FlushTimeout = TimeSpan.FromSeconds(1);

    /// <summary>The shortest time between two reports while the queue does not become empty.</summary>
    private static readonly TimeSpan ReportInterval = TimeSpan.FromMinutes(1);

    private static long _dropped;

    // Monitor.Wait needs an object; a Lock has no condition.
    private readonly object _gate = new();
    private readonly Queue<string> _texts = new();
    private readonly int _capacity = capacity > 0 ? capacity : throw new ArgumentOutOfRangeException(nameof(capacity), capacity, "The capacity is at least 1.");
    private Thread? _writer;
    private long _unreported;
    private long? _reportedAt;
    private bool _isWriting;
    private bool _isFailing;
    private bool _isClosed;

    /// <summary>The number of texts that all queues of the process have dropped: the counter <c>bytestreams.dropped_log_messages</c>.</summary>
    public static long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Logs the notice about dropped texts (event 720), to a logger that formats it for the output.</summary>
    /// <param name="logger">The logger.</param>
    /// <param name="count">The number of dropped texts.</param>
    public static void LogDropped(ILogger logger, long count) => OutputLog.LogDropped(logger, count);

    /// <summary>Adds a text, or drops it if the queue is full.</summary>
    /// <param name="text">The text, with its line end.</param>
    public void Post(string text)
    {
        lock (_gate)
        {
            if (_isClosed || _texts.Count >= _capacity)
            {
                Drop();
                return;
            }

            _texts.Enqueue(text);
            if (_writer is null)
            {
                _writer = new Thread(Run) { IsBackground = true, Name = "Log output" };
                _writer.UnsafeStart();
            }

            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Waits until everything is written.</summary>
    /// <param name="timeout">The longest wait.</param>
    /// <returns>False if it took longer than <paramref name="timeout"/>.</returns>
    public bool Flush(TimeSpan timeout)
    {
        long began = TimeProvider.System.GetTimestamp();
        lock (_gate)
        {
            while (_texts.Count > 0 || _isWriting)
            {
                TimeSpan left = timeout - TimeProvider.System.GetElapsedTime(began);
                if (left <= TimeSpan.Zero || !Monitor.Wait(_gate, left))
                {
                    return false;
                }
            }

            return true;
        }
    }

    /// <summary>Takes no more text, and waits for <see cref="FlushTimeout"/> at most until the rest is written. A second call does nothing.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }

            _isClosed = true;
            Monitor.PulseAll(_gate);
        }

        Flush(FlushTimeout);
    }

    private void Drop()
    {
        Interlocked.Increment(ref _dropped);
        lock (_gate)
        {
            _unreported++;
        }
    }

    private void Run()
    {
        while (Take(out long reported) is string text)
        {
            bool isWritten = TryWrite(text);
            lock (_gate)
            {
                _isWriting = false;
                _isFailing = !isWritten;
                Monitor.PulseAll(_gate);
                if (!isWritten && reported > 0)
                {
                    _unreported += reported;
                }
            }

            if (!isWritten && reported == 0)
            {
                Drop();
            }
        }
    }

    /// <summary>The next text, or a report of <paramref name="reported"/> drops; null at the end.</summary>
    private string? Take(out long reported)
    {
        lock (_gate)
        {
            while (true)
            {
                // After a failed write, the next text tries the output first.
                if (_unreported > 0 && !_isFailing && (_texts.Count == 0 || _reportedAt is not long last || time.GetElapsedTime(last) >= ReportInterval))
                {
                    reported = _unreported;
                    _unreported = 0;
                    _reportedAt = time.GetTimestamp();
                    _isWriting = true;
                    return notice(reported);
                }

                if (_texts.TryDequeue(out string? text))
                {
                    reported = 0;
                    _isWriting = true;
                    return text;
                }

                if (_isClosed)
                {
                    reported = 0;
                    return null;
                }

                Monitor.Wait(_gate);
            }
        }
    }

    private bool TryWrite(string text)
    {
        try
        {
            write(text);
            return true;
        }
        catch (Exception)
        {
            // A closed pipe (EPIPE), a full disk, a writer that the program has replaced and disposed: no other output could report it. It is
            // counted, and reported when the output works again.
            return false;
        }
    }
}
