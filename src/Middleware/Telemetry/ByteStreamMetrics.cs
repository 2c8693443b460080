using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using ByteStreams.Relay;
using ByteStreams.Tls;
using ByteStreams.Transport;
using ByteStreams.Transport.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Telemetry;

/// <summary>
/// The meter <c>ByteStreams</c>. Names and units follow OpenTelemetry's conventions, and Kestrel's own meter where it has the same.
/// No label has more values than there are endpoints, reasons, TLS versions or configured certificates.
/// </summary>
internal sealed class ByteStreamMetrics : IDisposable
{
    public const string MeterName = "ByteStreams";

    private const string EndpointTag = "bytestreams.endpoint";
    private const string ReasonTag = "bytestreams.end_reason";
    private const string ErrorTag = "error.type";
    private const string UpstreamTag = "bytestreams.upstream";
    private const string DirectionTag = "network.io.direction";

    /// <summary>From a health check to a day: connections last longer than requests.</summary>
    private static readonly double[] Durations = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 1800, 7200, 86400];

    /// <summary>From a handshake on one machine to a peer that is hardly there.</summary>
    private static readonly double[] ShortDurations = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

    /// <summary>For servers that are started without services.</summary>
    private static readonly Lazy<ByteStreamMetrics> Alone = new(() => new ByteStreamMetrics(null));

    private readonly Meter _meter;
    private readonly bool _owns;
    private readonly ConcurrentDictionary<string, EndpointTelemetry> _endpoints = new(StringComparer.Ordinal);

    /// <summary>Servers by the name in metrics; a reload has two of one name for a while.</summary>
    private readonly Dictionary<string, int> _servers = new(StringComparer.Ordinal);

    private readonly ConcurrentDictionary<CertificateStore, string> _certificates = new();
    private readonly ConcurrentDictionary<UpstreamGroup, string> _upstreams = new();
    private readonly Histogram<double> _duration;
    private readonly Histogram<double> _handshakes;
    private readonly Counter<long> _truncations;
    private readonly Counter<long> _acceptErrors;
    private readonly Counter<long> _reloads;
    private readonly Histogram<double> _connects;
    private volatile ReloadOutcome? _lastReload;
    private volatile ReloadOutcome? _lastSuccess;
    private volatile bool _isFrozen;
    private long _connections;

    /// <param name="factory">The application's; null makes a meter of its own.</param>
    public ByteStreamMetrics(IMeterFactory? factory)
    {
        _owns = factory is null;
        _meter = factory?.Create(MeterName) ?? new Meter(MeterName);
        _meter.CreateObservableUpDownCounter(
            "bytestreams.active_connections", () => Each(endpoint => (long)endpoint.Active), "{connection}", "Connections that are open.");
        _meter.CreateObservableCounter(
            "bytestreams.accepted_connections", () => Each(endpoint => endpoint.Accepted), "{connection}", "Connections that were accepted, refused ones included.");
        _meter.CreateObservableCounter(
            "bytestreams.rejected_connections", Rejected, "{connection}", "Connections that were refused, by reason.");
        _duration = _meter.CreateHistogram<double>(
            "bytestreams.connection.duration", "s", "How long connections lasted, by the reason of their end.", tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = Durations });
        _meter.CreateObservableCounter("bytestreams.connection.io", Bytes, "By", "Bytes received and transmitted, as they are on the medium (with TLS, encrypted).");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.lingering_connections", () => Linger.Count, "{connection}",
            "Connections of the process that are closed from this side and still wait for the peer's end.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.blocking_threads", () => BlockingHandlers.Shared.Count, "{thread}",
            "Threads of the process that its event loops have given to handlers that block; at 1,000 new connections are refused.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.buffered_bytes", () => BufferedBytes.Total, "By",
            "Bytes of the blocks that the buffers of all connections of the process hold: received and not consumed, written and not sent.");
        _meter.CreateObservableGauge(
            "bytestreams.max_buffered_bytes", () => BufferLimit.Process.Limit, "By", "MaxBufferedBytes as it is in effect; 0 for no limit.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.paused_connections", () => (long)BufferLimit.Process.Paused, "{connection}",
            "Connections of the process that are not read because its buffers hold more than MaxBufferedBytes.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.active_tls_handshakes", () => Each(endpoint => (long)endpoint.Handshakes), "{handshake}", "TLS handshakes in progress.");
        _handshakes = _meter.CreateHistogram<double>(
            "bytestreams.tls_handshake.duration", "s", "How long TLS handshakes took; failed ones have an error.type.", tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = ShortDurations });
        _truncations = _meter.CreateCounter<long>(
            "bytestreams.tls_truncations", "{connection}",
            "TLS connections that the peer ended without close_notify, whether that was taken for the end or not; a relay's upstreams by their name.");
        _acceptErrors = _meter.CreateCounter<long>("bytestreams.accept_errors", "{error}", "Accepts that failed, by the system's error.");
        _meter.CreateObservableGauge("bytestreams.tls_certificate.not_after", Expiries, "s", "When certificates expire, in seconds since 1970.");
        _reloads = _meter.CreateCounter<long>(
            "bytestreams.tls_certificate.reloads", "{reload}", "Certificate files that were read again after a change; failed ones have an error.type.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.upstream.active_connections", () => EachUpstream(upstream => upstream.Active), "{connection}",
            "Connections of a relay to an upstream that are open or being opened.");
        _meter.CreateObservableGauge(
            "bytestreams.upstream.available", () => EachUpstream(upstream => upstream is { IsHealthy: true, IsEjected: false } ? 1 : 0), "1",
            "Whether a relay's upstream gets connections: 1, or 0 while it is unhealthy or ejected.");
        _meter.CreateObservableCounter(
            "bytestreams.dropped_log_messages", () => OutputQueue.Dropped, "{message}",
            "Log messages of the process that were dropped because standard output or standard error was not read, or could not be written.");
        _meter.CreateObservableGauge(
            "bytestreams.config.last_reload_successful", () => Reload(_lastReload, outcome => outcome.IsSuccess ? 1 : 0), "1",
            "Whether the configuration was taken over when it was read last: 1, or 0 where it has an error and what ran before goes on.");
        _meter.CreateObservableGauge(
            "bytestreams.config.last_reload_timestamp", () => Reload(_lastReload, Seconds), "s",
            "When the configuration was read last, in seconds since 1970.");
        _meter.CreateObservableGauge(
            "bytestreams.config.last_reload_success_timestamp", () => Reload(_lastSuccess, Seconds), "s",
            "When the configuration was taken over last, in seconds since 1970.");
        _connects = _meter.CreateHistogram<double>(
            "bytestreams.upstream.connect.duration", "s", "How long it took a relay to connect to an upstream, TLS included; failed attempts have an error.type.",
            tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = ShortDurations });
    }

    /// <summary>How the configuration was read last; null before the start.</summary>
    public ReloadOutcome? LastReload => _lastReload;

    public void Reloaded(ReloadOutcome outcome)
    {
        _lastReload = outcome;
        if (outcome.IsSuccess)
        {
            _lastSuccess = outcome;
        }
    }

    /// <summary>The endpoints that had connections, in no order.</summary>
    public IEnumerable<EndpointTelemetry> Endpoints => _endpoints.Values;

    public static ByteStreamMetrics Of(IConnectionBuilder builder) => builder.ApplicationServices.GetService<ByteStreamMetrics>() ?? Alone.Value;

    /// <summary>Raised for each connection that has ended.</summary>
    public event Action<ConnectionSnapshot>? Ended;

    public EndpointTelemetry Endpoint(string name) => _endpoints.GetOrAdd(name, static added => new EndpointTelemetry(added));

    /// <summary>Raised when an endpoint's server has started, or an endpoint was forgotten. It must not wait.</summary>
    public event Action<EndpointChange>? EndpointsChanged;

    /// <summary>The names of endpoints that have a server.</summary>
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

    /// <summary>A server has an endpoint's name from now on (<see cref="EndpointLease"/>).</summary>
    public void ServerStarted(string name)
    {
        lock (_servers)
        {
            _servers[name] = _servers.GetValueOrDefault(name) + 1;
            if (_endpoints.TryGetValue(name, out EndpointTelemetry? endpoint))
            {
                endpoint.IsRetired = false;
            }
        }

        EndpointsChanged?.Invoke(EndpointChange.Added);
    }

    /// <summary>A server has ended. The last one of a name takes the endpoint's counts with it, once its connections have ended too.</summary>
    public void ServerEnded(string name)
    {
        lock (_servers)
        {
            if (--_servers[name] > 0 || _isFrozen)
            {
                return;
            }

            _servers.Remove(name);
            if (_endpoints.TryGetValue(name, out EndpointTelemetry? endpoint))
            {
                endpoint.IsRetired = true;
                // Before the connections are counted: the last one that leaves meanwhile sees that it is retired, or is not counted here.
                Interlocked.MemoryBarrier();
                if (!TryForget(endpoint))
                {
                    return;
                }
            }
        }

        EndpointsChanged?.Invoke(EndpointChange.Forgotten);
    }

    /// <summary>Forgets no endpoint from now on: a drain ends all servers, and what they have counted is still asked for.</summary>
    public void Freeze() => _isFrozen = true;

    /// <summary>A connection has ended.</summary>
    public void ConnectionLeft(ConnectionRecord record)
    {
        EndpointTelemetry endpoint = record.Endpoint;
        endpoint.Leave(record);
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

    public void ConnectionBegan(ConnectionRecord record) => record.Endpoint.Enter(record, ref _connections);

    public void ConnectionEnded(ConnectionRecord record, ConnectionEndReason reason, TimeSpan duration)
    {
        string endpoint = record.Endpoint.Name;
        string text = EndReasonText.Of(reason);
        if (_duration.Enabled)
        {
            _duration.Record(duration.TotalSeconds, new(EndpointTag, endpoint), new(ReasonTag, text));
        }

        Ended?.Invoke(record.Snapshot());
    }

    /// <summary>Counts a connection that was refused at accept, before it had a record.</summary>
    public void ConnectionRefused(string endpoint, ConnectionEndReason reason) => Endpoint(endpoint).Refuse(reason);

    /// <param name="endpoint">The endpoint.</param>
    /// <param name="version">Such as 1.3; null where the handshake failed.</param>
    /// <param name="failure">Why it failed; none where it did not.</param>
    /// <param name="duration">From its begin.</param>
    public void HandshakeEnded(string endpoint, string? version, ConnectionEndReason failure, TimeSpan duration)
    {
        if (_handshakes.Enabled)
        {
            var tags = new TagList { { EndpointTag, endpoint } };
            if (version is not null)
            {
                tags.Add("tls.protocol.version", version);
            }

            if (failure != ConnectionEndReason.None)
            {
                tags.Add(ErrorTag, EndReasonText.Of(failure));
            }

            _handshakes.Record(duration.TotalSeconds, tags);
        }
    }

    /// <param name="endpoint">The endpoint.</param>
    /// <param name="upstream">As it is configured; null for a client.</param>
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

    /// <summary>Shows when a store's certificates expire, until it is <see cref="Forget(CertificateStore)">forgotten</see>.</summary>
    public void Watch(CertificateStore store, string endpoint) => _certificates[store] = endpoint;

    /// <summary>Has all certificates' files looked at now, and not only each second: this knows all of them.</summary>
    public void LookAtCertificates()
    {
        // Once for all stores of a clock: two looks at a pair that is being replaced file by file would report it as broken.
        foreach (CertificateWatcher watcher in _certificates.Keys.Select(static store => store.Watcher).Distinct())
        {
            watcher.Look();
        }
    }

    public void Forget(CertificateStore store) => _certificates.TryRemove(store, out _);

    /// <summary>Shows a relay's upstreams until it is <see cref="Forget(UpstreamGroup)">forgotten</see>.</summary>
    public void Watch(UpstreamGroup upstreams, string endpoint) => _upstreams[upstreams] = endpoint;

    public void Forget(UpstreamGroup upstreams) => _upstreams.TryRemove(upstreams, out _);

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
        from upstream in watched.Key.All
        select new UpstreamSnapshot(upstream.Name, upstream.Active, upstream.IsHealthy, upstream.IsEjected);

    /// <param name="endpoint">The relay's endpoint.</param>
    /// <param name="upstream">As it is configured.</param>
    /// <param name="failure">Why it failed; null where it did not.</param>
    /// <param name="duration">From the attempt's begin.</param>
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

    private IEnumerable<Measurement<long>> Each(Func<EndpointTelemetry, long> count) =>
        _endpoints.Values.Select(endpoint => new Measurement<long>(count(endpoint), new KeyValuePair<string, object?>(EndpointTag, endpoint.Name)));

    /// <summary>Removes the counts of an endpoint that has neither a server nor a connection. Called under the lock of the servers.</summary>
    private bool TryForget(EndpointTelemetry endpoint) =>
        !_isFrozen && endpoint is { IsRetired: true, Active: 0 } && _endpoints.TryRemove(new(endpoint.Name, endpoint));

    private IEnumerable<Measurement<long>> Rejected() =>
        from endpoint in _endpoints.Values
        from refused in endpoint.Refusals()
        select new Measurement<long>(refused.Count, new(EndpointTag, endpoint.Name), new(ReasonTag, EndReasonText.Of(refused.Reason)));

    private IEnumerable<Measurement<long>> Bytes()
    {
        foreach (EndpointTelemetry endpoint in _endpoints.Values)
        {
            (long received, long sent) = endpoint.Bytes();
            yield return new(received, new(EndpointTag, endpoint.Name), new(DirectionTag, "receive"));
            yield return new(sent, new(EndpointTag, endpoint.Name), new(DirectionTag, "transmit"));
        }
    }

    private static double Seconds(ReloadOutcome outcome) => outcome.Time.ToUnixTimeMilliseconds() / 1000.0;

    private static IEnumerable<Measurement<double>> Reload(ReloadOutcome? outcome, Func<ReloadOutcome, double> value) =>
        outcome is null ? [] : [new(value(outcome))];

    private IEnumerable<Measurement<long>> EachUpstream(Func<Upstream, long> count)
    {
        foreach ((UpstreamGroup upstreams, string endpoint) in _upstreams)
        {
            foreach (Upstream upstream in upstreams.All)
            {
                yield return new(count(upstream), new(EndpointTag, endpoint), new(UpstreamTag, upstream.Name));
            }
        }
    }

    private IEnumerable<Measurement<double>> Expiries()
    {
        foreach ((CertificateStore store, string endpoint) in _certificates)
        {
            foreach ((string subject, DateTimeOffset notAfter) in store.Snapshots())
            {
                yield return new(notAfter.ToUnixTimeSeconds(), new(EndpointTag, endpoint), new("tls.server.subject", subject));
            }
        }
    }
}

/// <summary>What has changed about the endpoints that metrics know.</summary>
internal enum EndpointChange
{
    /// <summary>A server has started.</summary>
    Added,

    /// <summary>An endpoint has no server and no connection any more.</summary>
    Forgotten,
}
