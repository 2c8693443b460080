using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace ByteStreams.Pooling;

/// <summary>The meter and the activities <c>ByteStreams.Client</c>. Names after the semantic conventions of OpenTelemetry where there is one.</summary>
internal sealed class PoolMetrics
{
    public const string Name = "ByteStreams.Client";

    public static ActivitySource Activities { get; } = new(Name);

    public PoolMetrics(IMeterFactory factory)
    {
        Meter meter = factory.Create(Name);
        Connections = meter.CreateUpDownCounter<long>("bytestreams.client.open_connections", "{connection}", "Open connections by state.");
        ConnectDuration = meter.CreateHistogram("bytestreams.client.connect.duration", "s", "Duration of connect attempts.", advice: Buckets);
        AcquireDuration = meter.CreateHistogram("bytestreams.client.acquire.duration", "s", "How long callers waited for a connection.", advice: Buckets);
        ClosedConnections = meter.CreateCounter<long>("bytestreams.client.closed_connections", "{connection}", "Closed connections by reason.");
    }

    public UpDownCounter<long> Connections { get; }

    public Histogram<double> ConnectDuration { get; }

    public Histogram<double> AcquireDuration { get; }

    public Counter<long> ClosedConnections { get; }

    private static InstrumentAdvice<double> Buckets { get; } = new()
    {
        HistogramBucketBoundaries = [0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30],
    };
}
