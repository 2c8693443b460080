using System.Text.Encodings.Web;
using Microsoft.Extensions.Logging.Console;
using StreamsHost.Output;

namespace StreamsHost;

/// <summary>
/// The log goes to standard output: in lines for people on a terminal, and elsewhere, as in a container, as JSON, of which each line
/// is an object. <c>Logging:Console</c> may say otherwise. It never blocks: what is not read in time is dropped and counted.
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
        // Its formatters and options stay. The provider itself waits for a standard output that is not read, and so would every handler.
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

            // No page shows it: what is quoted may look like a quotation mark, and be found by it.
            options.JsonWriterOptions = options.JsonWriterOptions with { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        });
    }

    /// <summary>Whether it is written for people.</summary>
    public static bool IsReadable(IConfiguration configuration) =>
        string.Equals(FormatterName(configuration), ConsoleFormatterNames.Simple, StringComparison.OrdinalIgnoreCase);

    private static string FormatterName(IConfiguration configuration) => configuration[$"{Console}:FormatterName"] is { Length: > 0 } name ? name
        : System.Console.IsOutputRedirected ? ConsoleFormatterNames.Json : ConsoleFormatterNames.Simple;
}
