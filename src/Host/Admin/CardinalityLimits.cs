using System.Diagnostics.Metrics;
using System.Numerics;

namespace StreamsHost.Admin;

/// <summary>
/// How many label sets each metric may have: OpenTelemetry's default of 2,000, and more where there are many endpoints. The SDK
/// allocates them at once, some 100 bytes each.
/// </summary>
internal sealed class CardinalityLimits
{
    private const int Least = 2000;

    /// <summary>Label sets of an endpoint by reason, error, TLS version or upstream: there are some 40 reasons.</summary>
    private const int ByReason = 48;

    /// <summary>Label sets of an endpoint by direction, certificate or upstream.</summary>
    private const int Others = 8;

    /// <summary>Label sets of a metric of the runtime, which has a few.</summary>
    private const int OfRuntime = 100;

    private CardinalityLimits(int endpoints) => Endpoints = endpoints;

    /// <summary>The endpoints that the limits suffice for.</summary>
    public int Endpoints { get; }

    /// <summary>The limits for so many endpoints, or some more: endpoints that are added one by one do not each change them.</summary>
    public static CardinalityLimits For(int endpoints) => new((int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(endpoints, Least / ByReason)));

    public int Of(Instrument instrument) => instrument.Meter.Name == TelemetryExport.Runtime ? OfRuntime
        : Math.Max(Least, Endpoints * (instrument is Histogram<double> || instrument.Name == "bytestreams.rejected_connections" ? ByReason : Others));
}
