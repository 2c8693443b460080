namespace ByteStreams;

/// <summary>
/// Sends what was written by handlers that went on to await something other than the connection: W1's "within 10 ms".
/// </summary>
/// <remarks>
/// A writer with unflushed bytes is enrolled once and stays so while it goes on writing. Every tick flushes the enrolled writers
/// whose bytes are at least one whole tick old, so that a burst of writes is never cut in two, and drops those with nothing to
/// flush. The timer runs only while somebody is enrolled: an idle process has no ticks.
/// </remarks>
internal sealed class DeferredFlush : IDisposable
{
    /// <summary>Two of these, the longest that bytes wait, are 8 ms.</summary>
    internal static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(4);

    private readonly Lock _gate = new();
    private readonly ITimer _timer;
    private List<ByteStreamWriter> _enrolled = [];
    private List<ByteStreamWriter> _visited = [];
    private bool _running;

    public DeferredFlush(TimeProvider time) =>
        _timer = time.CreateTimer(static self => ((DeferredFlush)self!).OnTick(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

    /// <summary>The process's own.</summary>
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

        // Writers that stay go back one by one: flushing takes their locks, which must not nest in this one.
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
