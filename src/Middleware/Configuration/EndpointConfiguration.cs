using ByteStreams.Hosting;
using Microsoft.Extensions.Configuration;

namespace ByteStreams.Configuration;

/// <summary>Reads <c>Endpoints:&lt;name&gt;</c> sections. Every error is noted, none is thrown: they are reported together.</summary>
internal static class EndpointConfiguration
{
    public const string Endpoints = "Endpoints";

    /// <summary>The endpoints of a <c>ByteStreams</c> section.</summary>
    /// <param name="section">The section.</param>
    /// <param name="errors">Gets one line for each mistake: the key, the cause, the remedy.</param>
    public static IEnumerable<EndpointRegistration> Read(IConfiguration section, ICollection<string> errors)
    {
        foreach (IConfigurationSection unknown in section.GetChildren().Where(child => !Is(child.Key, Endpoints)))
        {
            errors.Add(Unknown(unknown, [Endpoints]));
        }

        return [.. section.GetSection(Endpoints).GetChildren().Select(endpoint => Read(endpoint, errors))];
    }

    private static EndpointRegistration Read(IConfigurationSection endpoint, ICollection<string> errors)
    {
        IReadOnlyList<string> known = [EndpointKeys.Url, EndpointKeys.Handler, .. EndpointKeys.All.Select(key => key.Name)];
        var settings = new List<(EndpointKey Key, string Path, string Text)>();
        foreach (IConfigurationSection child in endpoint.GetChildren())
        {
            EndpointKey? key = EndpointKeys.All.FirstOrDefault(candidate => Is(candidate.Name, child.Key));
            if (key is not null && child.Value is string text)
            {
                settings.Add((key, child.Path, text));
            }
            else if (!known.Any(name => Is(name, child.Key)))
            {
                errors.Add(Unknown(child, known));
            }
            else if (child.Value is null && child.GetChildren().Any())
            {
                errors.Add($"{child.Path}: takes one value, not a section.");
            }
        }

        return new EndpointRegistration(
            endpoint.Key,
            endpoint[EndpointKeys.Url],
            endpoint[EndpointKeys.Handler],
            Callback: null,
            Configure: null,
            endpoint.Path,
            settings);
    }

    private static string Unknown(IConfigurationSection key, IEnumerable<string> known) =>
        EndpointKeys.Nearest(key.Key, known) is string nearest
            ? $"{key.Path}: there is no such key. Did you mean '{nearest}'?"
            : $"{key.Path}: there is no such key. Known are {string.Join(", ", known)}.";

    private static bool Is(string left, string right) => string.Equals(left, right, StringComparison.OrdinalIgnoreCase);
}
