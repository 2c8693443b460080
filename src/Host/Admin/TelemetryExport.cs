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
    public const string Name = "ByteStreams";
    public const string Runtime = "System.Runtime";

    private const string Variables = "OTEL_EXPORTER_OTLP_";

    /// <summary>Whoever scrapes more often gets the same answer: every one looks at all connections.</summary>
    public const int CacheMilliseconds = 1000;

    public static void AddTelemetryExport(this WebApplicationBuilder builder, bool scraped)
    {
        bool metrics = IsAskedFor(builder.Configuration, "METRICS");
        bool traces = IsAskedFor(builder.Configuration, "TRACES");
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

    /// <summary>What the metrics and traces are of.</summary>
    public static void Describe(ResourceBuilder resource) => resource.AddService("streamshost").AddEnvironmentVariableDetector();

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
