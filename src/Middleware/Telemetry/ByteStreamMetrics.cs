using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using ByteStreams.Tls;
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
    private const string DirectionTag = "network.io.direction";

    /// <summary>From a health check to a day: connections last longer than requests.</summary>
    private static readonly double[] Durations = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 1800, 7200, 86400];

    /// <summary>For servers that are started without services.</summary>
    private static readonly Lazy<ByteStreamMetrics> Alone = new(() => new ByteStreamMetrics(null));

    private readonly Meter _meter;
    private readonly bool _owns;
    private readonly ConcurrentDictionary<string, EndpointTelemetry> _endpoints = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<CertificateStore, string> _certificates = new();
    private readonly Counter<long> _rejected;
    private readonly Histogram<double> _duration;
    private readonly Histogram<double> _handshakes;
    private readonly Counter<long> _acceptErrors;
    private readonly Counter<long> _reloads;

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
            "bytestreams.active_tls_handshakes", () => Each(endpoint => (long)endpoint.Handshakes), "{handshake}", "TLS handshakes in progress.");
        _handshakes = _meter.CreateHistogram<double>(
            "bytestreams.tls_handshake.duration", "s", "How long TLS handshakes took; failed ones have an error.type.", tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10] });
        _acceptErrors = _meter.CreateCounter<long>("bytestreams.accept_errors", "{error}", "Accepts that failed, by the system's error.");
        _meter.CreateObservableGauge("bytestreams.tls_certificate.not_after", Expiries, "s", "When certificates expire, in seconds since 1970.");
        _reloads = _meter.CreateCounter<long>(
            "bytestreams.tls_certificate.reloads", "{reload}", "Certificate files that were read again after a change; failed ones have an error.type.");
    }

    /// <summary>The endpoints that had connections, in no order.</summary>
    public IEnumerable<EndpointTelemetry> Endpoints => _endpoints.Values;

    public static ByteStreamMetrics Of(IConnectionBuilder builder) => builder.ApplicationServices.GetService<ByteStreamMetrics>() ?? Alone.Value;

    public EndpointTelemetry Endpoint(string name) => _endpoints.GetOrAdd(name, static added => new EndpointTelemetry(added));

    public void ConnectionEnded(string endpoint, ConnectionEndReason reason, TimeSpan duration)
    {
        string text = EndReasonText.Of(reason);
        if (EndReasonText.IsRefusal(reason))
        {
            _rejected.Add(1, new(EndpointTag, endpoint), new(ReasonTag, text));
        }

        if (_duration.Enabled)
        {
            _duration.Record(duration.TotalSeconds, new(EndpointTag, endpoint), new(ReasonTag, text));
        }
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

    /// <summary>Shows when a store's certificates expire, until it is <see cref="Forget">forgotten</see>.</summary>
    public void Watch(CertificateStore store, string endpoint) => _certificates[store] = endpoint;

    public void Forget(CertificateStore store) => _certificates.TryRemove(store, out _);

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
