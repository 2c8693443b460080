using System.Text.Json;
using System.Threading.Channels;
using ByteStreams;

namespace StreamsHost.Admin;

/// <summary>
/// Samples all endpoints once a second while a page is open. It keeps the samples of the last five minutes, so that a page that is opened later
/// shows them.
/// </summary>
/// <remarks>A sample visits all open connections: a few milliseconds for 10,000.</remarks>
internal sealed class StatusSampler(ByteStreamMonitor monitor, TimeProvider time) : IDisposable
{
    /// <summary>The maximum number of open pages; each holds a connection.</summary>
    public const int MostWatchers = 32;

    /// <summary>Samples that are kept: five minutes of them.</summary>
    public const int Kept = 300;

    /// <summary>Endpoints that have plots of their own. The others count in the total, and are in the table.</summary>
    public const int MostEndpoints = 32;

    /// <summary>Ends that are told with one sample, and kept for who comes next.</summary>
    public const int MostEnded = 50;

    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly List<Channel<ReadOnlyMemory<byte>>> _watchers = [];
    private readonly Queue<SampleAnswer> _samples = new();
    private readonly Queue<ConnectionAnswer> _ended = new();
    private ITimer? _timer;
    private IReadOnlyList<EndpointSnapshot> _endpoints = [];
    private long _lookedAt;
    private bool _hasLooked;

    /// <summary>The clock's timestamp when the host was put together.</summary>
    public long Began { get; } = time.GetTimestamp();

    public TimeSpan Uptime => time.GetElapsedTime(Began);

    /// <summary>People who are looking.</summary>
    public int Watchers
    {
        get
        {
            lock (_gate)
            {
                return _watchers.Count;
            }
        }
    }

    /// <summary>The endpoints as they were a second ago at most, however often they are asked for.</summary>
    public IReadOnlyList<EndpointSnapshot> Endpoints()
    {
        lock (_gate)
        {
            if (!_hasLooked || time.GetElapsedTime(_lookedAt) >= Period)
            {
                _endpoints = monitor.Endpoints();
                _lookedAt = time.GetTimestamp();
                _hasLooked = true;
            }

            return _endpoints;
        }
    }

    /// <summary>Begins to watch.</summary>
    /// <param name="history">What was seen so far, as JSON.</param>
    /// <returns>The samples from now on, each as JSON: to be given back to <see cref="Leave"/>. Null where too many are watching.</returns>
    public Channel<ReadOnlyMemory<byte>>? Watch(out ReadOnlyMemory<byte> history)
    {
        lock (_gate)
        {
            if (_watchers.Count >= MostWatchers)
            {
                history = default;
                return null;
            }

            // A page that reads more slowly than once a second misses samples; its plots are coarser.
            var watcher = Channel.CreateBounded<ReadOnlyMemory<byte>>(new BoundedChannelOptions(4) { FullMode = BoundedChannelFullMode.DropOldest });
            _watchers.Add(watcher);
            if (_timer is null)
            {
                monitor.ConnectionEnded += OnConnectionEnded;
                using (ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow())
                {
                    _timer = time.CreateTimer(static sampler => ((StatusSampler)sampler!).Look(), this, Period, Period);
                }

                Look();
            }

            DateTimeOffset oldest = time.GetUtcNow() - (Period * Kept);
            history = JsonSerializer.SerializeToUtf8Bytes(
                new HistoryAnswer([.. _samples.Where(sample => sample.Time >= oldest.ToUnixTimeMilliseconds())]), AdminJson.Default.HistoryAnswer);
            return watcher;
        }
    }

    /// <summary>Ends the watching that <see cref="Watch"/> began.</summary>
    public void Leave(Channel<ReadOnlyMemory<byte>> watcher)
    {
        lock (_gate)
        {
            if (_watchers.Remove(watcher) && _watchers.Count == 0)
            {
                Rest();
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            Rest();
        }
    }

    private static long[] Counts(IReadOnlyCollection<EndpointSnapshot> endpoints) =>
    [
        endpoints.Sum(endpoint => (long)endpoint.Active),
        endpoints.Sum(endpoint => endpoint.Accepted),
        endpoints.Sum(endpoint => endpoint.Refused),
        endpoints.Sum(endpoint => endpoint.BytesReceived),
        endpoints.Sum(endpoint => endpoint.BytesSent),
    ];

    private void Rest()
    {
        _timer?.Dispose();
        _timer = null;
        monitor.ConnectionEnded -= OnConnectionEnded;
        lock (_ended)
        {
            _ended.Clear();
        }
    }

    private void Look()
    {
        lock (_gate)
        {
            if (_timer is null)
            {
                // The last one has just left.
                return;
            }

            _endpoints = monitor.Endpoints();
            _lookedAt = time.GetTimestamp();
            _hasLooked = true;
            ConnectionAnswer[] ended;
            lock (_ended)
            {
                ended = [.. _ended];
                _ended.Clear();
            }

            var sample = new SampleAnswer(
                time.GetUtcNow().ToUnixTimeMilliseconds(),
                Counts(_endpoints),
                _endpoints.Take(MostEndpoints).ToDictionary(endpoint => endpoint.Name, endpoint => (IReadOnlyList<long>)Counts([endpoint])),
                ended);
            Keep(sample);
            ReadOnlyMemory<byte> json = JsonSerializer.SerializeToUtf8Bytes(sample, AdminJson.Default.SampleAnswer);
            foreach (Channel<ReadOnlyMemory<byte>> watcher in _watchers)
            {
                watcher.Writer.TryWrite(json);
            }
        }
    }

    private void Keep(SampleAnswer sample)
    {
        _samples.Enqueue(sample);
        while (_samples.Count > Kept)
        {
            _samples.Dequeue();
        }
    }

    /// <summary>On the thread that served the connection, which has other things to do.</summary>
    private void OnConnectionEnded(ConnectionSnapshot connection)
    {
        lock (_ended)
        {
            if (_ended.Count == MostEnded)
            {
                _ended.Dequeue();
            }

            _ended.Enqueue(Connections.Answer(connection));
        }
    }
}
