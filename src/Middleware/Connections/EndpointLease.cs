namespace ByteStreams.Connections;

/// <summary>Keeps the counters of an endpoint while a server has its name.</summary>
internal sealed class EndpointLease : IDisposable
{
    private readonly ByteStreamMetrics _metrics;
    private readonly string _name;
    private bool _isDisposed;

    public EndpointLease(ByteStreamMetrics metrics, string name)
    {
        _metrics = metrics;
        _name = name;
        metrics.ServerStarted(name);
    }

    /// <summary>A second call does nothing.</summary>
    public void Dispose()
    {
        if (!Interlocked.Exchange(ref _isDisposed, true))
        {
            _metrics.ServerEnded(_name);
        }
    }
}
