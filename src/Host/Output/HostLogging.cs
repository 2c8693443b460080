using System.Text.Encodings.Web;
using Microsoft.Extensions.Logging.Console;
using StreamsHost.Configuration;

namespace StreamsHost.Output;

/// <summary>
/// Logs to standard output: text lines on a terminal, and one JSON object per line elsewhere, such as in a container; <c>Logging:Console</c>
/// changes this. Logging never blocks: messages that are not read in time are dropped and counted.
/// </summary>
internal static class HostLogging
{
    private const string Console = "Logging:Console";

    public static void AddHostLogging(this WebApplicationBuilder builder)
    {
        ConfigurationManager configuration = builder.Configuration;
        if (!HostChecks.LogLevels(configuration).Any())
        {
            // Invalid levels are reported with all other errors, before anything starts; the framework would throw at the first of them.
            builder.Logging.AddConfiguration(configuration.GetSection("Logging"));
        }

        builder.Logging.Configure(options => options.ActivityTrackingOptions =
            ActivityTrackingOptions.SpanId | ActivityTrackingOptions.TraceId | ActivityTrackingOptions.ParentId);

        builder.Logging.AddConsole(options => options.FormatterName = FormatterName(configuration));
        // Keeps its formatters and options. The provider itself blocks on a standard output that is not read, and every handler with it.
        builder.Services.Remove(builder.Services.First(service => service.ImplementationType == typeof(ConsoleLoggerProvider)));
        builder.Services.AddSingleton<QueuedConsole>();
        builder.Services.AddSingleton<ILoggerProvider>(services => services.GetRequiredService<QueuedConsole>());
        builder.Services.Configure<SimpleConsoleFormatterOptions>(options =>
        {
            options.SingleLine = configuration[$"{Console}:FormatterOptions:SingleLine"] is null || options.SingleLine;
            options.TimestampFormat ??= "HH:mm:ss ";
            // https://no-color.org: set and not empty.
            if (options.ColorBehavior == LoggerColorBehavior.Default && Environment.GetEnvironmentVariable("NO_COLOR") is { Length: > 0 })
            {
                options.ColorBehavior = LoggerColorBehavior.Disabled;
            }
        });
        builder.Services.Configure<JsonConsoleFormatterOptions>(options =>
        {
            if (options.TimestampFormat is null)
            {
                options.TimestampFormat = "yyyy-MM-ddTHH:mm:ss.fffZ";
                options.UseUtcTimestamp = true;
            }

            // The log is no HTML: quotation marks stay readable and searchable.
            options.JsonWriterOptions = options.JsonWriterOptions with { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        });
    }

    /// <summary>Whether the log is text for people.</summary>
    public static bool IsReadable(IConfiguration configuration) =>
        string.Equals(FormatterName(configuration), ConsoleFormatterNames.Simple, StringComparison.OrdinalIgnoreCase);

    private static string FormatterName(IConfiguration configuration) => configuration[$"{Console}:FormatterName"] is { Length: > 0 } name ? name
        : System.Console.IsOutputRedirected ? ConsoleFormatterNames.Json : ConsoleFormatterNames.Simple;
}
