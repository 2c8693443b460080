using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace StreamsHost.Admin;

/// <summary>
/// Hands out what the meters and the activities tell: at <c>/metrics</c> to whoever asks, and by OTLP where the standard variables
/// <c>OTEL_EXPORTER_OTLP_…</c> say where to. Nothing is collected for nobody.
/// </summary>
internal static class TelemetryExport
{
    private const string Name = "ByteStreams";
    private const string Runtime = "System.Runtime";

    /// <summary>The most label sets of a runtime metric, which has a few. Their memory is allocated in advance: 70 bytes each.</summary>
    private const int RuntimeSeries = 100;

    private const string Variables = "OTEL_EXPORTER_OTLP_";

    /// <summary>Whoever scrapes more often gets the same answer: every one looks at all connections.</summary>
    private const int CacheMilliseconds = 1000;

    public static void AddTelemetryExport(this WebApplicationBuilder builder, bool scraped)
    {
        bool metrics = IsAskedFor(builder.Configuration, "METRICS");
        bool traces = IsAskedFor(builder.Configuration, "TRACES");
        if (!scraped && !metrics && !traces)
        {
            return;
        }

        OpenTelemetry.OpenTelemetryBuilder telemetry = builder.Services.AddOpenTelemetry()
            .ConfigureResource(resource => resource.AddService("streamshost").AddEnvironmentVariableDetector());
        if (scraped || metrics)
        {
            telemetry.WithMetrics(provider =>
            {
                provider.AddMeter(Name, Runtime)
                    .AddView(instrument => instrument.Meter.Name == Runtime ? new MetricStreamConfiguration { CardinalityLimit = RuntimeSeries } : null);
                _ = scraped ? provider.AddPrometheusExporter(options => options.ScrapeResponseCacheDurationMilliseconds = CacheMilliseconds) : provider;
                _ = metrics ? provider.AddOtlpExporter() : provider;
            });
        }

        if (traces)
        {
            telemetry.WithTracing(provider => provider.AddSource(Name).AddOtlpExporter());
        }
    }

    /// <summary>By a variable for everything or for this signal, unless <c>OTEL_…_EXPORTER=none</c> says otherwise.</summary>
    private static bool IsAskedFor(ConfigurationManager configuration, string signal) =>
        !string.Equals(configuration[$"OTEL_{signal}_EXPORTER"], "none", StringComparison.OrdinalIgnoreCase)
        && configuration.GetChildren().Any(variable =>
            variable.Key.StartsWith(Variables, StringComparison.OrdinalIgnoreCase)
            && IsOf(variable.Key[Variables.Length..], signal)
            && !string.IsNullOrEmpty(variable.Value));

    private static bool IsOf(string rest, string signal) =>
        rest.StartsWith(signal + "_", StringComparison.OrdinalIgnoreCase)
        || !((string[])["METRICS_", "TRACES_", "LOGS_"]).Any(other => rest.StartsWith(other, StringComparison.OrdinalIgnoreCase));
}
