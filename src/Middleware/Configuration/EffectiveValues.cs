using Microsoft.Extensions.Configuration;

namespace ByteStreams.Configuration;

/// <summary>Reads the values in effect of a section of endpoints: its own, those that endpoints inherit, and the built-in defaults.</summary>
/// <param name="configuration">The whole configuration.</param>
/// <param name="section">The section's path.</param>
internal sealed class EffectiveValues(IConfigurationRoot configuration, string section)
{
    private readonly string _defaults = ConfigurationPath.Combine(section, EndpointConfiguration.Defaults);
    private readonly List<EffectiveValue> _values = [];

    public static IReadOnlyList<EffectiveValue> Read(IConfigurationRoot configuration, string section, bool includeDefaults)
    {
        var reader = new EffectiveValues(configuration, section);
        // An empty array has a value, an empty one; so has a section that an environment variable overrides.
        reader._values.AddRange(configuration.GetSection(section).AsEnumerable()
            .Where(pair => pair.Value is not null)
            .Select(pair => reader.GetValue(pair.Key, pair.Value!)));
        if (includeDefaults)
        {
            foreach (IConfigurationSection endpoint in configuration.GetSection(section).GetSection(EndpointConfiguration.Endpoints).GetChildren())
            {
                reader.AddMissing(endpoint.Path, string.Empty, EndpointTable.Endpoint);
                reader.AddMissing(endpoint.Path, string.Empty, EndpointTable.Listening);
            }
        }

        return [.. reader._values.OrderBy(value => value.Key, ConfigurationKeyComparer.Instance)];
    }

    /// <summary>Adds the values that an endpoint does not have itself.</summary>
    /// <param name="endpoint">The endpoint's path.</param>
    /// <param name="path">The path within the endpoint, empty or with a leading colon.</param>
    /// <param name="table">The keys at that path.</param>
    private void AddMissing(string endpoint, string path, SettingTable table)
    {
        foreach (Setting setting in table.All)
        {
            string key = path + ConfigurationPath.KeyDelimiter + setting.Name;
            IConfigurationSection own = configuration.GetSection(endpoint + key);
            IConfigurationSection inherited = configuration.GetSection(_defaults + key);
            if (setting.IsList)
            {
                // A list replaces the default's as a whole; the items' own keys have no defaults.
                if (!own.Exists())
                {
                    AddInherited(endpoint, inherited);
                }
            }
            else if (setting.Table is SettingTable inner)
            {
                if (own.Exists() || inherited.Exists() || setting.Name is nameof(EndpointSettings.Telemetry) or nameof(EndpointSettings.Timeouts))
                {
                    AddMissing(endpoint, key, inner);
                }
            }
            else if (own.Value is null && inherited.Value is not null)
            {
                AddInherited(endpoint, inherited);
            }
            else if (own.Value is null && setting.Default is string byDefault)
            {
                _values.Add(new EffectiveValue(endpoint + key, byDefault, Provider: null));
            }
        }
    }

    private void AddInherited(string endpoint, IConfigurationSection inherited) =>
        _values.AddRange(inherited.AsEnumerable()
            .Where(pair => pair.Value is not null)
            .Select(pair => GetValue(pair.Key, pair.Value!) with { Key = endpoint + pair.Key[_defaults.Length..], InheritedFrom = pair.Key }));

    private EffectiveValue GetValue(string key, string value) =>
        new(key, value, configuration.Providers.Last(provider => provider.TryGet(key, out _)));
}
