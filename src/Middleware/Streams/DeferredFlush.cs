namespace ByteStreams;

/// <summary>
/// Flushes bytes that a handler wrote before it awaited something other than its connection; implements W1's "within 10 ms".
/// </summary>
/// <remarks>
/// A writer with unflushed bytes is enrolled once and stays enrolled while it writes. Each tick flushes the enrolled writers whose bytes
/// are at least one tick old, so that a burst of writes is not split, and removes those with nothing to flush. The timer runs only
/// while a writer is enrolled.
/// </remarks>
internal sealed class DeferredFlush : IDisposable
{
    /// <summary>The period. Bytes wait for at most two of them: 8 ms.</summary>
    internal static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(4);

    private readonly Lock _gate = new();
    private readonly ITimer _timer;
    private List<ByteStreamWriter> _enrolled = [];
    private List<ByteStreamWriter> _visited = [];
    private bool _running;

    public DeferredFlush(TimeProvider time) =>
        _timer = time.CreateTimer(static self => ((DeferredFlush)self!).OnTick(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

    /// <summary>The instance of the process.</summary>
    public static DeferredFlush Shared { get; } = new(TimeProvider.System);

    public void Enroll(ByteStreamWriter writer)
    {
        lock (_gate)
        {
            _enrolled.Add(writer);
            if (!_running)
            {
                _running = true;
                _timer.Change(Tick, Timeout.InfiniteTimeSpan);
            }
        }
    }

    public void Dispose() => _timer.Dispose();

    private void OnTick()
    {
        lock (_gate)
        {
            (_enrolled, _visited) = (_visited, _enrolled);
        }

        // Lock order: a flush takes the writer's lock, which must not be taken within this one.
        foreach (ByteStreamWriter writer in _visited)
        {
            if (writer.OnDeferredFlush())
            {
                lock (_gate)
                {
                    _enrolled.Add(writer);
                }
            }
        }

        _visited.Clear();
        lock (_gate)
        {
            _running = _enrolled.Count > 0;
            if (_running)
            {
                _timer.Change(Tick, Timeout.InfiniteTimeSpan);
            }
        }
    }
}
