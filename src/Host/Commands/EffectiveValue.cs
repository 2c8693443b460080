using ByteStreams.Configuration;
using ByteStreams.Transport.Text;
using Microsoft.Extensions.Configuration.CommandLine;
using Microsoft.Extensions.Configuration.EnvironmentVariables;
using Microsoft.Extensions.Configuration.Json;
using Microsoft.Extensions.Configuration.KeyPerFile;

namespace StreamsHost.Commands;

/// <summary>A value of the configuration as the host takes it.</summary>
/// <param name="Key">Its whole path.</param>
/// <param name="Value">The value.</param>
/// <param name="Source">The file, the variable, the command line, or the default.</param>
/// <param name="IsHidden">Whether it is a secret.</param>
internal sealed record EffectiveValue(string Key, string Value, string Source, bool IsHidden)
{
    private const string Endpoints = "ByteStreams:Endpoints";
    private const string Defaults = "ByteStreams:Defaults";
    private const string ByDefault = "default";

    private static readonly string[] Secrets = ["password", "secret", "token", "apikey", "credential"];

    /// <summary>The value as it may be seen, in one line.</summary>
    public string Shown => IsHidden ? "(hidden)" : LogText.Escape(Value);

    /// <summary>Everything that is configured, by key; with <paramref name="all"/> also what holds by default.</summary>
    public static IReadOnlyList<EffectiveValue> Read(IConfigurationRoot configuration, bool all)
    {
        var values = new List<EffectiveValue>();
        foreach ((string key, string? value) in configuration.AsEnumerable())
        {
            // An array that is empty has a value as well, an empty one; so has a section that a variable overwrites.
            if (value is not null && HostConfiguration.Sections.Contains(key.Split(':')[0], StringComparer.OrdinalIgnoreCase))
            {
                values.Add(Of(configuration, key, value));
            }
        }

        if (!all)
        {
            values.RemoveAll(value => value.Source == ByDefault);
        }
        else
        {
            foreach (IConfigurationSection endpoint in configuration.GetSection(Endpoints).GetChildren())
            {
                AddDefaults(configuration, endpoint.Path, string.Empty, EndpointTable.Endpoint, values);
                AddDefaults(configuration, endpoint.Path, string.Empty, EndpointTable.Listening, values);
            }
        }

        return [.. values.OrderBy(value => value.Key, ConfigurationKeyComparer.Instance)];
    }

    private static EffectiveValue Of(IConfigurationRoot configuration, string key, string value)
    {
        IConfigurationProvider provider = configuration.Providers.Last(one => one.TryGet(key, out _));
        string variable = key.Replace(":", "__", StringComparison.Ordinal);
        return new EffectiveValue(
            key,
            value,
            provider switch
            {
                JsonConfigurationProvider { Source: { FileProvider: { } files, Path: string path } } => files.GetFileInfo(path).PhysicalPath ?? path,
                EnvironmentVariablesConfigurationProvider => $"environment {variable}",
                CommandLineConfigurationProvider => "command line",
                KeyPerFileConfigurationProvider => $"secret file {Path.Combine(configuration[HostConfiguration.SecretsDirectory] ?? string.Empty, variable)}",
                _ => ByDefault,
            },
            provider is KeyPerFileConfigurationProvider || IsSecret(key));
    }

    /// <summary>Whether what it is called says that nobody should see it.</summary>
    private static bool IsSecret(string key)
    {
        string name = key[(key.LastIndexOf(':') + 1)..];
        return !name.Equals(HostConfiguration.SecretsDirectory, StringComparison.OrdinalIgnoreCase)
            && Secrets.Any(secret => name.Contains(secret, StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>Adds what an endpoint does not say itself: from the defaults' section, else from the program.</summary>
    private static void AddDefaults(IConfigurationRoot configuration, string endpoint, string path, SettingTable table, List<EffectiveValue> values)
    {
        foreach (Setting setting in table.All)
        {
            string key = path + ":" + setting.Name;
            IConfigurationSection own = configuration.GetSection(endpoint + key);
            IConfigurationSection general = configuration.GetSection(Defaults + key);
            if (setting.IsList)
            {
                // A list replaces the default's as a whole; sections in it are as they stand.
                if (!own.Exists())
                {
                    AddGeneral(configuration, endpoint, general, values);
                }
            }
            else if (setting.Table is SettingTable inner)
            {
                if (own.Exists() || general.Exists() || setting.Name is nameof(EndpointSettings.Telemetry) or nameof(EndpointSettings.Timeouts))
                {
                    AddDefaults(configuration, endpoint, key, inner, values);
                }
            }
            else if (own.Value is null && general.Value is not null)
            {
                AddGeneral(configuration, endpoint, general, values);
            }
            else if (own.Value is null && setting.Default is string byDefault)
            {
                values.Add(new EffectiveValue(endpoint + key, byDefault, ByDefault, false));
            }
        }
    }

    private static void AddGeneral(IConfigurationRoot configuration, string endpoint, IConfigurationSection general, List<EffectiveValue> values) =>
        values.AddRange(general.AsEnumerable()
            .Where(pair => pair.Value is not null)
            .Select(pair => Of(configuration, pair.Key, pair.Value!))
            .Select(value => value with { Key = endpoint + value.Key[Defaults.Length..], Source = $"{Defaults} in {value.Source}" }));
}
