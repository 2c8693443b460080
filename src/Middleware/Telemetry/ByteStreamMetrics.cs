using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using ByteStreams.Relay;
using ByteStreams.Tls;
using ByteStreams.Transport;
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
    private readonly ConcurrentDictionary<CertificateStore, string> _certificates = new();
    private readonly ConcurrentDictionary<UpstreamGroup, string> _upstreams = new();
    private readonly Counter<long> _rejected;
    private readonly Histogram<double> _duration;
    private readonly Histogram<double> _handshakes;
    private readonly Counter<long> _acceptErrors;
    private readonly Counter<long> _reloads;
    private readonly Histogram<double> _connects;
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
        _rejected = _meter.CreateCounter<long>(
            "bytestreams.rejected_connections", "{connection}", "Connections that were refused, by reason.");
        _duration = _meter.CreateHistogram<double>(
            "bytestreams.connection.duration", "s", "How long connections lasted, by the reason of their end.", tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = Durations });
        _meter.CreateObservableCounter("bytestreams.connection.io", Bytes, "By", "Bytes received and transmitted, as they are on the medium (with TLS, encrypted).");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.lingering_connections", () => Linger.Count, "{connection}",
            "Connections of the process that are closed from this side and still wait for the peer's end.");
        _meter.CreateObservableUpDownCounter(
            "bytestreams.active_tls_handshakes", () => Each(endpoint => (long)endpoint.Handshakes), "{handshake}", "TLS handshakes in progress.");
        _handshakes = _meter.CreateHistogram<double>(
            "bytestreams.tls_handshake.duration", "s", "How long TLS handshakes took; failed ones have an error.type.", tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = ShortDurations });
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
        _connects = _meter.CreateHistogram<double>(
            "bytestreams.upstream.connect.duration", "s", "How long it took a relay to connect to an upstream, TLS included; failed attempts have an error.type.",
            tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = ShortDurations });
    }

    /// <summary>The endpoints that had connections, in no order.</summary>
    public IEnumerable<EndpointTelemetry> Endpoints => _endpoints.Values;

    public static ByteStreamMetrics Of(IConnectionBuilder builder) => builder.ApplicationServices.GetService<ByteStreamMetrics>() ?? Alone.Value;

    /// <summary>Raised for each connection that has ended.</summary>
    public event Action<ConnectionSnapshot>? Ended;

    public EndpointTelemetry Endpoint(string name) => _endpoints.GetOrAdd(name, static added => new EndpointTelemetry(added));

    public void ConnectionBegan(ConnectionRecord record) => record.Endpoint.Enter(record, ref _connections);

    public void ConnectionEnded(ConnectionRecord record, ConnectionEndReason reason, TimeSpan duration)
    {
        string endpoint = record.Endpoint.Name;
        string text = EndReasonText.Of(reason);
        if (EndReasonText.IsRefusal(reason))
        {
            _rejected.Add(1, new(EndpointTag, endpoint), new(ReasonTag, text));
        }

        if (_duration.Enabled)
        {
            _duration.Record(duration.TotalSeconds, new(EndpointTag, endpoint), new(ReasonTag, text));
        }

        Ended?.Invoke(record.Snapshot());
    }

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
        foreach (CertificateStore store in _certificates.Keys)
        {
            store.Look();
        }
    }

    public void Forget(CertificateStore store) => _certificates.TryRemove(store, out _);

    /// <summary>Shows a relay's upstreams until it is <see cref="Forget(UpstreamGroup)">forgotten</see>.</summary>
    public void Watch(UpstreamGroup upstreams, string endpoint) => _upstreams[upstreams] = endpoint;

    public void Forget(UpstreamGroup upstreams) => _upstreams.TryRemove(upstreams, out _);

    public IEnumerable<CertificateSnapshot> CertificatesOf(string endpoint) =>
        from watched in _certificates
        where string.Equals(watched.Value, endpoint, StringComparison.OrdinalIgnoreCase)
        from certificate in watched.Key.Expiries()
        select new CertificateSnapshot(certificate.Subject, certificate.NotAfter);

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

    private IEnumerable<Measurement<long>> Bytes()
    {
        foreach (EndpointTelemetry endpoint in _endpoints.Values)
        {
            (long received, long sent) = endpoint.Bytes();
            yield return new(received, new(EndpointTag, endpoint.Name), new(DirectionTag, "receive"));
            yield return new(sent, new(EndpointTag, endpoint.Name), new(DirectionTag, "transmit"));
        }
    }

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
            foreach ((string subject, DateTimeOffset notAfter) in store.Expiries())
            {
                yield return new(notAfter.ToUnixTimeSeconds(), new(EndpointTag, endpoint), new("tls.server.subject", subject));
            }
        }
    }
}
