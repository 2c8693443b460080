using System.Text;
using ByteStreams.Hosting;
using Microsoft.Extensions.Configuration;

namespace ByteStreams.Configuration;

/// <summary>Reads a <c>ByteStreams</c> section. Every error is noted, none is thrown: they are reported together.</summary>
internal static class EndpointConfiguration
{
    /// <summary>The endpoints, each a section under a name of its own: the name is in logs, metrics and traces.</summary>
    public const string Endpoints = "Endpoints";

    /// <summary>What holds for every endpoint that does not say otherwise: any key of an endpoint but <c>Url</c>. A list replaces the default's.</summary>
    public const string Defaults = "Defaults";

    private static readonly string[] Known = [.. EndpointTable.Service.All.Select(setting => setting.Name), Defaults, Endpoints];

    private static readonly string[] KnownOfEndpoint =
        [.. EndpointTable.Endpoint.All.Select(setting => setting.Name), .. EndpointTable.Listening.All.Select(setting => setting.Name)];

    /// <summary>
    /// A section as it is now. What is read of it twice, to be used and to see whether it has changed, then is the same even where it
    /// changes meanwhile.
    /// </summary>
    public static IConfiguration Copy(IConfiguration section)
    {
        IConfigurationRoot copy = new ConfigurationBuilder().AddInMemoryCollection(section.AsEnumerable()).Build();
        return section is IConfigurationSection { Path: string path } ? copy.GetSection(path) : copy;
    }

    /// <summary>The endpoints of a section.</summary>
    /// <param name="section">The section.</param>
    /// <param name="errors">Gets one line for each mistake: the key, the cause, the remedy.</param>
    public static IEnumerable<EndpointRegistration> Read(IConfiguration section, ICollection<string> errors)
    {
        foreach (IConfigurationSection unknown in section.GetChildren().Where(child => !Known.Contains(child.Key, StringComparer.OrdinalIgnoreCase)))
        {
            errors.Add(SettingTable.Unknown(unknown, Known));
        }

        ReadService(section, new ServiceSettings(), errors);
        IConfigurationSection defaults = section.GetSection(Defaults);
        SettingTable.NoteValue(section.GetSection(Endpoints), errors);
        if (defaults.GetSection(nameof(EndpointSettings.Url)) is { Value: not null } url)
        {
            errors.Add($"{url.Path}: each endpoint has a Url of its own; it is no default.");
        }

        // Once for its mistakes; what it says is read again for each endpoint.
        Apply(defaults, new EndpointSettings(), errors);
        return [.. section.GetSection(Endpoints).GetChildren().Select(endpoint => new EndpointRegistration(
            endpoint.Key, null, null, Callback: null, Configure: null, endpoint.Path, [defaults, endpoint]))];
    }

    /// <summary>Sets what a section says beside its endpoints.</summary>
    public static void ReadService(IConfiguration section, ServiceSettings settings, ICollection<string> errors)
    {
        foreach (IConfigurationSection child in section.GetChildren().Where(child => EndpointTable.Service.Knows(child.Key)))
        {
            EndpointTable.Service.Read(child, settings, errors);
        }
    }

    /// <summary>Sets what a section of an endpoint, or the defaults, says.</summary>
    public static void Apply(IConfigurationSection section, EndpointSettings settings, ICollection<string> errors)
    {
        SettingTable.NoteValue(section, errors);
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

    /// <summary>Everything that sections say, to see whether it has changed.</summary>
    /// <param name="sections">The sections, the later ones over the earlier.</param>
    /// <param name="keys">Which of their keys.</param>
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
