using ByteStreams.Configuration;
using Microsoft.Extensions.Configuration.Json;
using Microsoft.Extensions.Logging.Console;

namespace StreamsHost;

/// <summary>What can be wrong in the configuration beside the endpoints and the HTTP side. Each mistake is a line: the key, the cause, the remedy.</summary>
internal static class HostChecks
{
    private const string Logging = "Logging";

    private const string Listening = "The HTTP side listens where Admin:Url says, and endpoints where ByteStreams:Endpoints says.";

    /// <summary>Sections that the file may have although nothing here reads them; with those that an ASP.NET Core application reads, what to use.</summary>
    private static readonly Dictionary<string, string?> Foreign = new(StringComparer.OrdinalIgnoreCase)
    {
        ["$schema"] = null,
        ["AllowedHosts"] = "The names under which the HTTP side may be asked are in Admin:AllowedHosts.",
        ["ConnectionStrings"] = null,
        ["HTTP_PORTS"] = Listening,
        ["Kestrel"] = Listening,
        ["Urls"] = Listening,
    };

    public static IEnumerable<string> Mistakes(IConfigurationRoot configuration)
    {
        foreach (string section in UnknownSections(configuration))
        {
            if (!Foreign.ContainsKey(section) && SettingTable.Nearest(section, HostConfiguration.Sections) is string nearest)
            {
                yield return $"{section}: there is no such section. Did you mean '{nearest}'?";
            }
        }

        IConfigurationSection endpoints = configuration.GetSection("ByteStreams:Endpoints");
        if (!endpoints.GetChildren().Any())
        {
            yield return $"{endpoints.Path}: there is no endpoint. Name one with its Url and its Handler, such as echo with tcp://127.0.0.1:7007 and echo.";
        }

        foreach (string mistake in LogLevels(configuration))
        {
            yield return mistake;
        }

        IConfigurationSection formatter = configuration.GetSection($"{Logging}:Console:FormatterName");
        string[] formatters = [ConsoleFormatterNames.Simple, ConsoleFormatterNames.Json, ConsoleFormatterNames.Systemd];
        if (formatter.Value is { Length: > 0 } name && !formatters.Contains(name, StringComparer.OrdinalIgnoreCase))
        {
            yield return $"{formatter.Path}: '{name}' is not valid. It takes one of {string.Join(", ", formatters)}.";
        }
    }

    /// <summary>Lists what the file has that has no effect. Each note is a line.</summary>
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

    /// <summary>The framework throws at these when it makes its first logger, and tells no key.</summary>
    public static IEnumerable<string> LogLevels(IConfiguration configuration)
    {
        IConfigurationSection logging = configuration.GetSection(Logging);
        return from levels in logging.GetChildren().Select(provider => provider.GetSection("LogLevel")).Prepend(logging.GetSection("LogLevel"))
               from level in levels.GetChildren()
               where level.Value is { Length: > 0 } text && !Enum.TryParse<LogLevel>(text, ignoreCase: true, out _)
               select $"{level.Path}: '{level.Value}' is not valid. It takes one of {string.Join(", ", Enum.GetNames<LogLevel>())}.";
    }
}
