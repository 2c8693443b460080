using ByteStreams;
using Microsoft.Extensions.Configuration.Json;
using Microsoft.Extensions.Logging.Console;

namespace StreamsHost.Configuration;

/// <summary>Validates the configuration outside of the endpoints and the HTTP side.</summary>
internal static class HostChecks
{
    private const string Logging = "Logging";

    private const string Listening = "The HTTP side listens on Admin:Url, and endpoints on the URLs in ByteStreams:Endpoints.";

    /// <summary>Sections that the host ignores; for those of other ASP.NET Core applications, with the keys to use here.</summary>
    private static readonly Dictionary<string, string?> Foreign = new(StringComparer.OrdinalIgnoreCase)
    {
        ["$schema"] = null,
        ["AllowedHosts"] = "The host names of the HTTP side are in Admin:AllowedHosts.",
        ["ConnectionStrings"] = null,
        ["HTTP_PORTS"] = Listening,
        ["Kestrel"] = Listening,
        ["Urls"] = Listening,
    };

    /// <summary>The errors, each in one line: the key, the cause, the remedy.</summary>
    public static IEnumerable<string> Validate(IConfigurationRoot configuration)
    {
        foreach (string section in UnknownSections(configuration))
        {
            if (!Foreign.ContainsKey(section) && ByteStreamConfiguration.FindNearest(section, HostConfiguration.Sections) is string nearest)
            {
                yield return $"{section}: there is no such section. Did you mean '{nearest}'?";
            }
        }

        IConfigurationSection endpoints = configuration.GetSection("ByteStreams:Endpoints");
        if (!endpoints.GetChildren().Any())
        {
            yield return $"{endpoints.Path}: there is no endpoint. Add one with a Url and a Handler, such as echo with tcp://127.0.0.1:7007 and echo.";
        }

        foreach (string error in LogLevels(configuration))
        {
            yield return error;
        }

        IConfigurationSection formatter = configuration.GetSection($"{Logging}:Console:FormatterName");
        string[] formatters = [ConsoleFormatterNames.Simple, ConsoleFormatterNames.Json, ConsoleFormatterNames.Systemd];
        if (formatter.Value is { Length: > 0 } name && !formatters.Contains(name, StringComparer.OrdinalIgnoreCase))
        {
            yield return $"{formatter.Path}: '{name}' is not valid. It takes one of {string.Join(", ", formatters)}.";
        }
    }

    /// <summary>The sections of the file that have no effect, one line each.</summary>
    public static IEnumerable<string> Notes(IConfigurationRoot configuration) =>
        from section in UnknownSections(configuration)
        where section != "$schema"
        orderby section
        select $"{section} is ignored. {Foreign.GetValueOrDefault(section) ?? "StreamsHost does not read it."}";

    private static IEnumerable<string> UnknownSections(IConfigurationRoot configuration) =>
        configuration.Providers.OfType<JsonConfigurationProvider>()
            .SelectMany(file => file.GetChildKeys([], null))
            .Distinct(StringComparer.OrdinalIgnoreCase)
            .Except(HostConfiguration.Sections, StringComparer.OrdinalIgnoreCase);

    /// <summary>The errors in log levels. The framework throws at the first of them, without its key.</summary>
    public static IEnumerable<string> LogLevels(IConfiguration configuration)
    {
        IConfigurationSection logging = configuration.GetSection(Logging);
        return from levels in logging.GetChildren().Select(provider => provider.GetSection("LogLevel")).Prepend(logging.GetSection("LogLevel"))
               from level in levels.GetChildren()
               where level.Value is { Length: > 0 } text && !Enum.TryParse<LogLevel>(text, ignoreCase: true, out _)
               select $"{level.Path}: '{level.Value}' is not valid. It takes one of {string.Join(", ", Enum.GetNames<LogLevel>())}.";
    }
}
