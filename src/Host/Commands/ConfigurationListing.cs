using ByteStreams;
using Microsoft.Extensions.Configuration.CommandLine;
using Microsoft.Extensions.Configuration.EnvironmentVariables;
using Microsoft.Extensions.Configuration.Json;
using Microsoft.Extensions.Configuration.KeyPerFile;
using StreamsHost.Configuration;

namespace StreamsHost.Commands;

/// <summary>The configuration as <c>print-config</c> lists it.</summary>
internal sealed class ConfigurationListing
{
    private const string ByDefault = "default";

    private readonly IConfigurationRoot _configuration;

    private ConfigurationListing(IConfigurationRoot configuration) => _configuration = configuration;

    /// <summary>Reads the values of every section of the host, ordered by key.</summary>
    /// <param name="configuration">The configuration.</param>
    /// <param name="all">Whether values that are not configured are included, with their defaults.</param>
    public static IReadOnlyList<ListedValue> Read(IConfigurationRoot configuration, bool all)
    {
        var listing = new ConfigurationListing(configuration);
        return
        [
            .. HostConfiguration.Sections
                .SelectMany(section => ByteStreamConfiguration.GetEffectiveValues(configuration, section, includeDefaults: all))
                .Select(listing.Describe)
                .Where(value => all || value.Source != ByDefault)
                .OrderBy(value => value.Key, ConfigurationKeyComparer.Instance),
        ];
    }

    private ListedValue Describe(EffectiveValue value)
    {
        string configuredKey = value.InheritedFrom ?? value.Key;
        string source = Source(value.Provider, configuredKey);
        return new ListedValue(
            value.Key,
            value.Value,
            value.InheritedFrom is null ? source : $"ByteStreams:Defaults in {source}",
            value.Provider is KeyPerFileConfigurationProvider || (value.IsSecret && !IsSecretsDirectory(value.Key)));
    }

    private string Source(IConfigurationProvider? provider, string key)
    {
        string variable = key.Replace(":", "__", StringComparison.Ordinal);
        return provider switch
        {
            JsonConfigurationProvider { Source: { FileProvider: { } files, Path: string path } } => files.GetFileInfo(path).PhysicalPath ?? path,
            EnvironmentVariablesConfigurationProvider => $"environment {variable}",
            CommandLineConfigurationProvider => "command line",
            KeyPerFileConfigurationProvider => $"secret file {Path.Combine(_configuration[HostConfiguration.SecretsDirectory] ?? string.Empty, variable)}",
            _ => ByDefault,
        };
    }

    private static bool IsSecretsDirectory(string key) => key.Equals(HostConfiguration.SecretsDirectory, StringComparison.OrdinalIgnoreCase);
}

/// <summary>A value of the listing.</summary>
/// <param name="Key">The whole key.</param>
/// <param name="Value">The value.</param>
/// <param name="Source">The file, the variable, the command line, or the default.</param>
/// <param name="IsHidden">Whether the value is a secret.</param>
internal sealed record ListedValue(string Key, string Value, string Source, bool IsHidden)
{
    /// <summary>The value as it may be shown, in one line.</summary>
    public string Shown => IsHidden ? "(hidden)" : LogText.Escape(Value);
}
