using System.Text;
using Microsoft.Extensions.Configuration;

namespace ByteStreams.Configuration;

/// <summary>Reads a <c>ByteStreams</c> section. Errors are collected, so that they are reported together.</summary>
internal static class EndpointConfiguration
{
    /// <summary>The endpoints, one section each. The section's name is the endpoint's name in logs, metrics and traces.</summary>
    public const string Endpoints = "Endpoints";

    /// <summary>Defaults for all endpoints: any key of an endpoint except <c>Url</c>. An endpoint's own list replaces the default list.</summary>
    public const string Defaults = "Defaults";

    /// <summary>The section of the links between the hosts of a cluster. The package ByteStreams.Orleans reads it.</summary>
    public const string Cluster = "Cluster";

    /// <summary>The path that the package reads. It does not depend on the section of the endpoints.</summary>
    private const string ClusterPath = "ByteStreams:" + Cluster;

    private static readonly string[] Known = [.. EndpointTable.Service.All.Select(setting => setting.Name), Defaults, Endpoints];

    private static readonly string[] KnownOfEndpoint =
        [.. EndpointTable.Endpoint.All.Select(setting => setting.Name), .. EndpointTable.Listening.All.Select(setting => setting.Name)];

    /// <summary>
    /// A snapshot of a section. It is read twice, to be applied and to compute the signature, and both reads have to see the same values.
    /// </summary>
    public static IConfiguration Copy(IConfiguration section)
    {
        IConfigurationRoot copy = new ConfigurationBuilder().AddInMemoryCollection(section.AsEnumerable()).Build();
        return section is IConfigurationSection { Path: string path } ? copy.GetSection(path) : copy;
    }

    /// <summary>The endpoints of a section.</summary>
    /// <param name="section">The section.</param>
    /// <param name="isClustered">Whether the application has a backplane, so that the section <c>Cluster</c> applies.</param>
    /// <param name="errors">Receives one line for each error: the key, the cause, the remedy.</param>
    public static IEnumerable<EndpointRegistration> Read(IConfiguration section, bool isClustered, ICollection<string> errors)
    {
        foreach (IConfigurationSection unknown in section.GetChildren().Where(child => !Known.Contains(child.Key, StringComparer.OrdinalIgnoreCase)))
        {
            if (!string.Equals(unknown.Key, Cluster, StringComparison.OrdinalIgnoreCase))
            {
                errors.Add(SettingTable.Unknown(unknown, Known));
            }
            else if (isClustered && !string.Equals(unknown.Path, ClusterPath, StringComparison.OrdinalIgnoreCase))
            {
                errors.Add($"{unknown.Path}: has no effect. The cluster is configured by the section {ClusterPath}.");
            }
            else if (!isClustered)
            {
                errors.Add($"{unknown.Path}: has no effect, because this application has no backplane. Remove it, or call AddOrleansBackplane() of ByteStreams.Orleans.");
            }
        }

        ReadService(section, new ServiceSettings(), errors);
        IConfigurationSection defaults = section.GetSection(Defaults);
        SettingTable.RejectValue(section.GetSection(Endpoints), errors);
        if (defaults.GetSection(nameof(EndpointSettings.Url)) is { Value: not null } url)
        {
            errors.Add($"{url.Path}: Url cannot be a default. Set it in each endpoint.");
        }

        // Reads the defaults for their errors; each endpoint reads the values again.
        Apply(defaults, new EndpointSettings(), errors);
        return [.. section.GetSection(Endpoints).GetChildren().Select(endpoint => new EndpointRegistration(
            endpoint.Key, null, null, Callback: null, Configure: null, endpoint.Path, [defaults, endpoint]))];
    }

    /// <summary>Reads the keys that apply to all endpoints.</summary>
    public static void ReadService(IConfiguration section, ServiceSettings settings, ICollection<string> errors)
    {
        foreach (IConfigurationSection child in section.GetChildren().Where(child => EndpointTable.Service.Knows(child.Key)))
        {
            EndpointTable.Service.Read(child, settings, errors);
        }
    }

    /// <summary>Applies the section of an endpoint, or of the defaults.</summary>
    public static void Apply(IConfigurationSection section, EndpointSettings settings, ICollection<string> errors)
    {
        SettingTable.RejectValue(section, errors);
        foreach (IConfigurationSection child in section.GetChildren())
        {
            if (EndpointTable.Listening.Knows(child.Key))
            {
                EndpointTable.Listening.Read(child, settings.Server, errors);
            }
            else if (KnownOfEndpoint.Contains(child.Key, StringComparer.OrdinalIgnoreCase))
            {
                EndpointTable.Endpoint.Read(child, settings, errors);
            }
            else
            {
                errors.Add(SettingTable.Unknown(child, KnownOfEndpoint));
            }
        }
    }

    /// <summary>The keys and values of sections as text, to detect changes.</summary>
    /// <param name="sections">The sections; later ones override earlier ones.</param>
    /// <param name="keys">Selects keys.</param>
    public static string Signature(IReadOnlyList<IConfigurationSection> sections, Func<string, bool> keys)
    {
        var text = new StringBuilder();
        foreach (IConfigurationSection section in sections)
        {
            text.Append('[').AppendLine(section.Path);
            foreach ((string key, string? value) in section.AsEnumerable(makePathsRelative: true)
                .Where(pair => pair.Value is not null && keys(pair.Key.Split(':')[0]))
                .OrderBy(pair => pair.Key, StringComparer.OrdinalIgnoreCase))
            {
                text.Append(key).Append('=').AppendLine(value);
            }
        }

        return text.ToString();
    }
}
