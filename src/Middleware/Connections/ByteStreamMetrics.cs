using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using ByteStreams.Transport;
using ByteStreams.Transport.Epoll;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Connections;

/// <summary>
/// The meter <c>ByteStreams</c>. Names and units follow OpenTelemetry's conventions, and Kestrel's own meter where it has the same.
/// No label has more values than there are endpoints, reasons, TLS versions or configured certificates.
/// </summary>
internal sealed class ByteStreamMetrics : IListenerObserver, IDisposable
{
    public const string MeterName = "ByteStreams";

    private const string EndpointTag = "bytestreams.endpoint";
    private const string ReasonTag = "bytestreams.close_reason";
    private const string ErrorTag = "error.type";
    private const string UpstreamTag = "bytestreams.upstream";
    private const string DirectionTag = "network.io.direction";

    /// <summary>From a health check to a day: connections last longer than requests.</summary>
    private static readonly double[] Durations = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 1800, 7200, 86400];

    /// <summary>From a handshake on one machine to a peer that hardly answers.</summary>
    private static readonly double[] ShortDurations = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

    /// <summary>The meter of servers without services.</summary>
    private static readonly Lazy<ByteStreamMetrics> Alone = new(() => new ByteStreamMetrics(null));

    private readonly Meter _meter;
    private readonly bool _owns;
    private readonly ConcurrentDictionary<string, EndpointCounters> _endpoints = new(StringComparer.Ordinal);

    /// <summary>The number of servers by name in metrics; a reload has two of one name for some time.</summary>
    private readonly Dictionary<string, int> _servers = new(StringComparer.Ordinal);

    private readonly ConcurrentDictionary<ICertificateReport, string> _certificates = new();
    private readonly ConcurrentDictionary<IUpstreamReport, string> _upstreams = new();
    private readonly Histogram<double> _duration;
    private readonly Histogram<double> _handshakes;
    private readonly Counter<long> _truncations;
    private readonly Counter<long> _acceptErrors;
    private readonly Counter<long> _reloads;
    private readonly Histogram<double> _connects;
    private volatile ReloadOutcome? _lastReload;
    private volatile ReloadOutcome? _lastSuccess;
    private volatile bool _isFrozen;
    private volatile IGroupsReport? _groups;
    private long _connections;

    /// <param name="factory">The application's; null makes a meter of its own.</param>
    public ByteStreamMetrics(IMeterFactory? factory)
    {
        _owns = factory is null;
        _meter = factory?.Create(MeterName) ?? new Meter(MeterName);
        _meter.CreateObservableUpDownCounter(
            "bytestreams.active_connections", () => Each(endpoint => (long)endpoint.Active), "{connection}", "Open connections.");
        _meter.CreateObservableCounter(
            "bytestreams.accepted_connections", () => Each(endpoint => endpoint.Accepted), "{connection}", "Accepted connections, refused ones included.");
        _meter.CreateObservableCounter(
            "bytestreams.rejected_connections", Rejected, "{connection}", "Refused connections by reason.");
        _duration = _meter.CreateHistogram<double>(
            "bytestreams.connection.duration", "s", "Duration of connections by close reason.", tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = Durations });
        _meter.CreateObservableCounter("bytestreams.connection.io", Bytes, "By", "Bytes received and transmitted by the transport (with TLS, encrypted).");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.lingering_connections", () => Linger.Count, "{connection}",
            "Connections of the process that are closed from this side and wait for the peer's close.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.blocking_threads", () => BlockingHandlers.Shared.Count, "{thread}",
            "Threads of the process that run handlers which blocked an event loop; at 1,000 new connections are refused.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.buffered_bytes", () => BufferedBytes.Total, "By",
            "Bytes of the blocks in the buffers of all connections of the process: received and not consumed, written and not sent.");
        _meter.CreateObservableGauge(
            "bytestreams.max_buffered_bytes", () => BufferLimit.Process.Limit, "By", "The effective MaxBufferedBytes; 0 for no limit.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.paused_connections", () => (long)BufferLimit.Process.Paused, "{connection}",
            "Connections of the process that are not read because its buffers hold more than MaxBufferedBytes.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.active_tls_handshakes", () => Each(endpoint => (long)endpoint.Handshakes), "{handshake}", "TLS handshakes in progress.");
        _handshakes = _meter.CreateHistogram<double>(
            "bytestreams.tls_handshake.duration", "s", "Duration of TLS handshakes; failed ones have an error.type.", tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = ShortDurations });
        _truncations = _meter.CreateCounter<long>(
            "bytestreams.tls_truncations", "{connection}",
            "TLS connections that the peer closed without close_notify, whether that was accepted as EOF or not; a relay's upstreams by name.");
        _acceptErrors = _meter.CreateCounter<long>("bytestreams.accept_errors", "{error}", "Failed accepts by the system's error.");
        _meter.CreateObservableGauge("bytestreams.tls_certificate.not_after", Expiries, "s", "Expiry of certificates, in seconds since 1970.");
        _reloads = _meter.CreateCounter<long>(
            "bytestreams.tls_certificate.reloads", "{reload}", "Reloads of changed certificate files; failed ones have an error.type.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.upstream.active_connections", () => EachUpstream(upstream => upstream.Active), "{connection}",
            "Connections of a relay to an upstream, open or being opened.");
        _meter.CreateObservableGauge(
            "bytestreams.upstream.available", () => EachUpstream(upstream => upstream is { IsHealthy: true, IsEjected: false } ? 1 : 0), "1",
            "Whether a relay's upstream gets connections: 1, or 0 while it is unhealthy or ejected.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.registered_connections", () => Groups(groups => groups.Registered), "{connection}",
            "Connections registered with ByteStreamConnections.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.groups", () => Groups(groups => groups.Groups), "{group}", "Groups with at least one member on this host.");
        _meter.CreateObservableCounter(
            "bytestreams.group.sends", () => Groups(groups => groups.Sends), "{message}",
            "Messages sent to connections, users, groups or all; a message counts once.");
        _meter.CreateObservableCounter(
            "bytestreams.group.deliveries", () => Groups(groups => groups.Deliveries), "{message}",
            "Messages delivered to registered connections; a message counts once for each connection.");
        _meter.CreateObservableCounter(
            "bytestreams.dropped_log_messages", () => OutputQueue.Dropped, "{message}",
            "Log messages of the process that were dropped because standard output or standard error was not read, or could not be written.");
        _meter.CreateObservableGauge(
            "bytestreams.config.last_reload_successful", () => Reload(_lastReload, outcome => outcome.IsSuccess ? 1 : 0), "1",
            "Whether the last read of the configuration was applied: 1, or 0 where it has an error and the running configuration was kept.");
        _meter.CreateObservableGauge(
            "bytestreams.config.last_reload_timestamp", () => Reload(_lastReload, Seconds), "s",
            "The last read of the configuration, in seconds since 1970.");
        _meter.CreateObservableGauge(
            "bytestreams.config.last_reload_success_timestamp", () => Reload(_lastSuccess, Seconds), "s",
            "The last applied read of the configuration, in seconds since 1970.");
        _connects = _meter.CreateHistogram<double>(
            "bytestreams.upstream.connect.duration", "s", "Duration of a relay's connects to an upstream, TLS included; failed attempts have an error.type.",
            tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = ShortDurations });
    }

    /// <summary>The result of the last read of the configuration; null before the start.</summary>
    public ReloadOutcome? LastReload => _lastReload;

    public void Reloaded(ReloadOutcome outcome)
    {
        _lastReload = outcome;
        if (outcome.IsSuccess)
        {
            _lastSuccess = outcome;
        }
    }

    /// <summary>Sets the source of the group metrics.</summary>
    public void Report(IGroupsReport groups) => _groups = groups;

    /// <summary>The endpoints with counters, in no order.</summary>
    public IEnumerable<EndpointCounters> Endpoints => _endpoints.Values;

    private long Groups(Func<IGroupsReport, long> value) => _groups is IGroupsReport groups ? value(groups) : 0;

    public static ByteStreamMetrics For(IConnectionBuilder builder) => builder.ApplicationServices.GetService<ByteStreamMetrics>() ?? Alone.Value;

    /// <summary>Raised for each connection that has closed.</summary>
    public event Action<ConnectionSnapshot>? Ended;

    public EndpointCounters Endpoint(string name) => _endpoints.GetOrAdd(name, static added => new EndpointCounters(added));

    /// <summary>Raised when an endpoint's server has started, or an endpoint's counters were dropped. It must not wait.</summary>
    public event Action<EndpointChange>? EndpointsChanged;

    /// <summary>The number of endpoint names that have a server.</summary>
    public int ServerNames
    {
        get
        {
            lock (_servers)
            {
                return _servers.Count;
            }
        }
    }

    /// <summary>Notes that a server has an endpoint's name (<see cref="EndpointLease"/>).</summary>
    public void ServerStarted(string name)
    {
        lock (_servers)
        {
            _servers[name] = _servers.GetValueOrDefault(name) + 1;
            if (_endpoints.TryGetValue(name, out EndpointCounters? endpoint))
            {
                endpoint.IsRetired = false;
            }
        }

        EndpointsChanged?.Invoke(EndpointChange.Added);
    }

    /// <summary>Notes that a server has ended. With the last one of a name the endpoint's counters are dropped when its connections have closed.</summary>
    public void ServerEnded(string name)
    {
        lock (_servers)
        {
            if (--_servers[name] > 0 || _isFrozen)
            {
                return;
            }

            _servers.Remove(name);
            if (_endpoints.TryGetValue(name, out EndpointCounters? endpoint))
            {
                endpoint.IsRetired = true;
                // Before the connections are counted: the last one, if it leaves now, sees that the endpoint is retired, or is not counted here.
                Interlocked.MemoryBarrier();
                if (!TryForget(endpoint))
                {
                    return;
                }
            }
        }

        EndpointsChanged?.Invoke(EndpointChange.Forgotten);
    }

    /// <summary>Drops no counters from now on: a drain ends all servers, and their counters are still read.</summary>
    public void Freeze() => _isFrozen = true;

    /// <summary>Counts a connection that has closed.</summary>
    public void ConnectionLeft(ConnectionState connection)
    {
        EndpointCounters endpoint = connection.Reporter!.Counters;
        endpoint.Leave(connection);
        if (!endpoint.IsRetired)
        {
            return;
        }

        lock (_servers)
        {
            if (!TryForget(endpoint))
            {
                return;
            }
        }

        EndpointsChanged?.Invoke(EndpointChange.Forgotten);
    }

    public void ConnectionBegan(ConnectionState connection) => connection.Reporter!.Counters.Enter(connection, ref _connections);

    public void ConnectionEnded(ConnectionState connection, ConnectionCloseReason reason, TimeSpan duration)
    {
        if (_duration.Enabled)
        {
            _duration.Record(duration.TotalSeconds, new(EndpointTag, connection.Reporter!.Counters.Name), new(ReasonTag, CloseReasonText.GetText(reason)));
        }

        Ended?.Invoke(ConnectionSnapshot.Create(connection));
    }

    /// <inheritdoc/>
    public void ConnectionRefused(string endpoint, ConnectionCloseReason reason) => Endpoint(endpoint).Refuse(reason);

    /// <param name="endpoint">The endpoint.</param>
    /// <param name="version">The version, such as 1.3; null for a failed handshake.</param>
    /// <param name="failure">The reason of the failure; none for a success.</param>
    /// <param name="duration">The time since its begin.</param>
    public void HandshakeEnded(string endpoint, string? version, ConnectionCloseReason failure, TimeSpan duration)
    {
        if (_handshakes.Enabled)
        {
            var tags = new TagList { { EndpointTag, endpoint } };
            if (version is not null)
            {
                tags.Add("tls.protocol.version", version);
            }

            if (failure != ConnectionCloseReason.None)
            {
                tags.Add(ErrorTag, CloseReasonText.GetText(failure));
            }

            _handshakes.Record(duration.TotalSeconds, tags);
        }
    }

    /// <param name="endpoint">The endpoint.</param>
    /// <param name="upstream">The upstream's name; null for a client.</param>
    public void TlsTruncated(string endpoint, string? upstream)
    {
        var tags = new TagList { { EndpointTag, endpoint } };
        if (upstream is not null)
        {
            tags.Add(UpstreamTag, upstream);
        }

        _truncations.Add(1, tags);
    }

    public void AcceptFailed(string endpoint, string error) => _acceptErrors.Add(1, new(EndpointTag, endpoint), new(ErrorTag, error));

    public void CertificateReloaded(string endpoint, bool failed)
    {
        var tags = new TagList { { EndpointTag, endpoint } };
        if (failed)
        {
            tags.Add(ErrorTag, "invalid");
        }

        _reloads.Add(1, tags);
    }

    /// <summary>Reports an endpoint's certificates until <see cref="Forget(ICertificateReport)"/>.</summary>
    public void Watch(ICertificateReport store, string endpoint) => _certificates[store] = endpoint;

    /// <summary>Checks the files of all certificates for changes now, in addition to once a second.</summary>
    public void LookAtCertificates()
    {
        // Once per reloader: two checks of a pair that is being replaced file by file would report it as broken.
        foreach (ICertificateReloader reloader in _certificates.Keys.Select(static store => store.Reloader).Distinct())
        {
            reloader.Look();
        }
    }

    public void Forget(ICertificateReport store) => _certificates.TryRemove(store, out _);

    /// <summary>Reports a relay's upstreams until <see cref="Forget(IUpstreamReport)"/>.</summary>
    public void Watch(IUpstreamReport upstreams, string endpoint) => _upstreams[upstreams] = endpoint;

    public void Forget(IUpstreamReport upstreams) => _upstreams.TryRemove(upstreams, out _);

    public IEnumerable<CertificateSnapshot> CertificatesOf(string endpoint) =>
        from watched in _certificates
        where string.Equals(watched.Value, endpoint, StringComparison.OrdinalIgnoreCase)
        from certificate in watched.Key.Snapshots()
        select certificate;

    public string? ClientAuthoritiesErrorOf(string endpoint) =>
        _certificates.Where(watched => string.Equals(watched.Value, endpoint, StringComparison.OrdinalIgnoreCase))
            .Select(static watched => watched.Key.AuthoritiesError)
            .FirstOrDefault(static error => error is not null);

    public IEnumerable<UpstreamSnapshot> UpstreamsOf(string endpoint) =>
        from watched in _upstreams
        where string.Equals(watched.Value, endpoint, StringComparison.OrdinalIgnoreCase)
        from upstream in watched.Key.Snapshots()
        select upstream;

    /// <param name="endpoint">The relay's endpoint.</param>
    /// <param name="upstream">The upstream's name.</param>
    /// <param name="failure">The type of the failure; null for a success.</param>
    /// <param name="duration">The time since the attempt's begin.</param>
    public void UpstreamConnected(string endpoint, string upstream, string? failure, TimeSpan duration)
    {
        if (_connects.Enabled)
        {
            var tags = new TagList { { EndpointTag, endpoint }, { UpstreamTag, upstream } };
            if (failure is not null)
            {
                tags.Add(ErrorTag, failure);
            }

            _connects.Record(duration.TotalSeconds, tags);
        }
    }

    public void Dispose()
    {
        // A factory disposes its meters itself.
        if (_owns)
        {
            _meter.Dispose();
        }
    }

    private IEnumerable<Measurement<long>> Each(Func<EndpointCounters, long> count) =>
        _endpoints.Values.Select(endpoint => new Measurement<long>(count(endpoint), new KeyValuePair<string, object?>(EndpointTag, endpoint.Name)));

    /// <summary>Drops the counters of an endpoint that has neither a server nor a connection. Called under the lock of the servers.</summary>
    private bool TryForget(EndpointCounters endpoint) =>
        !_isFrozen && endpoint is { IsRetired: true, Active: 0 } && _endpoints.TryRemove(new(endpoint.Name, endpoint));

    private IEnumerable<Measurement<long>> Rejected() =>
        from endpoint in _endpoints.Values
        from refused in endpoint.Refusals()
        select new Measurement<long>(refused.Count, new(EndpointTag, endpoint.Name), new(ReasonTag, CloseReasonText.GetText(refused.Reason)));

    private IEnumerable<Measurement<long>> Bytes()
    {
        foreach (EndpointCounters endpoint in _endpoints.Values)
        {
            (long received, long sent) = endpoint.Bytes();
            yield return new(received, new(EndpointTag, endpoint.Name), new(DirectionTag, "receive"));
            yield return new(sent, new(EndpointTag, endpoint.Name), new(DirectionTag, "transmit"));
        }
    }

    private static double Seconds(ReloadOutcome outcome) => outcome.Time.ToUnixTimeMilliseconds() / 1000.0;

    private static IEnumerable<Measurement<double>> Reload(ReloadOutcome? outcome, Func<ReloadOutcome, double> value) =>
        outcome is null ? [] : [new(value(outcome))];

    private IEnumerable<Measurement<long>> EachUpstream(Func<UpstreamSnapshot, long> count)
    {
        foreach ((IUpstreamReport upstreams, string endpoint) in _upstreams)
        {
            foreach (UpstreamSnapshot upstream in upstreams.Snapshots())
            {
                yield return new(count(upstream), new(EndpointTag, endpoint), new(UpstreamTag, upstream.Name));
            }
        }
    }

    private IEnumerable<Measurement<double>> Expiries()
    {
        foreach ((ICertificateReport store, string endpoint) in _certificates)
        {
            foreach ((string subject, DateTimeOffset notAfter) in store.Snapshots())
            {
                yield return new(notAfter.ToUnixTimeSeconds(), new(EndpointTag, endpoint), new("tls.server.subject", subject));
            }
        }
    }
}
