using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace StreamsHost.Admin;

/// <summary>
/// Exports metrics and traces: metrics at <c>/metrics</c>, and both by OTLP if the standard variables <c>OTEL_EXPORTER_OTLP_…</c> are set. Without
/// an exporter nothing is collected.
/// </summary>
internal static class TelemetryExport
{
    public const string Name = "ByteStreams";
    public const string Runtime = "System.Runtime";

    private const string Variables = "OTEL_EXPORTER_OTLP_";

    /// <summary>More frequent scrapes get the same response, because each scrape reads all connections.</summary>
    public const int CacheMilliseconds = 1000;

    public static void AddTelemetryExport(this WebApplicationBuilder builder, bool scraped)
    {
        bool metrics = IsConfigured(builder.Configuration, "METRICS");
        bool traces = IsConfigured(builder.Configuration, "TRACES");
        if (scraped || metrics)
        {
            int endpoints = builder.Configuration.GetSection("ByteStreams:Endpoints").GetChildren().Count();
            builder.Services.AddSingleton(new MetricsExportOptions(scraped, metrics, endpoints));
            builder.Services.AddSingleton<MetricsExport>();
            builder.Services.AddHostedService(services => services.GetRequiredService<MetricsExport>());
        }

        if (traces)
        {
            builder.Services.AddOpenTelemetry().ConfigureResource(Describe).WithTracing(provider => provider.AddSource(Name).AddOtlpExporter());
        }
    }

    /// <summary>The OpenTelemetry resource.</summary>
    public static void Describe(ResourceBuilder resource) => resource.AddService("streamshost").AddEnvironmentVariableDetector();

    /// <summary>Whether a variable for all signals or for this one is set, and not <c>OTEL_…_EXPORTER=none</c>.</summary>
    private static bool IsConfigured(ConfigurationManager configuration, string signal) =>
        !string.Equals(configuration[$"OTEL_{signal}_EXPORTER"], "none", StringComparison.OrdinalIgnoreCase)
        && configuration.GetChildren().Any(variable =>
            variable.Key.StartsWith(Variables, StringComparison.OrdinalIgnoreCase)
            && IsOf(variable.Key[Variables.Length..], signal)
            && !string.IsNullOrEmpty(variable.Value));

    private static bool IsOf(string rest, string signal) =>
        rest.StartsWith(signal + "_", StringComparison.OrdinalIgnoreCase)
        || !((string[])["METRICS_", "TRACES_", "LOGS_"]).Any(other => rest.StartsWith(other, StringComparison.OrdinalIgnoreCase));
}
