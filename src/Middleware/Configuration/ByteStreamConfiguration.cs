using System.Diagnostics.CodeAnalysis;
using ByteStreams.Configuration;
using ByteStreams.Transport.Validation;
using Microsoft.Extensions.Configuration;

namespace ByteStreams;

/// <summary>The <c>ByteStreams</c> configuration section for programs that host endpoints: its schema, its effective values, and its text formats.</summary>
/// <remarks>All members may be called from any thread. Validation needs the registered handlers: see <see cref="EndpointValidator"/>.</remarks>
public static class ByteStreamConfiguration
{
    /// <summary>The JSON schema (draft 7) of a file with a <c>ByteStreams</c> section, in UTF-16 with line feeds.</summary>
    public static string JsonSchema => ConfigurationSchema.Text;

    /// <summary>The effective values of a section of endpoints, ordered by key.</summary>
    /// <param name="configuration">The whole configuration, whose providers are the sources.</param>
    /// <param name="section">The path of the section, such as <c>ByteStreams</c>.</param>
    /// <param name="includeDefaults">
    /// Whether each endpoint's values that are not configured for it are included: those of the section <c>Defaults</c>, and the built-in defaults.
    /// </param>
    /// <returns>The values as text. Nothing is validated.</returns>
    /// <exception cref="ArgumentException"><paramref name="section"/> is empty.</exception>
    /// <example>
    /// <code>
    /// foreach (EffectiveValue value in ByteStreamConfiguration.GetEffectiveValues(builder.Configuration, "ByteStreams", includeDefaults: true))
    /// {
    ///     Console.WriteLine($"{value.Key} = {(value.IsSecret ? "(hidden)" : value.Value)}, from {value.Provider?.ToString() ?? "default"}");
    /// }
    /// </code>
    /// </example>
    public static IReadOnlyList<EffectiveValue> GetEffectiveValues(IConfigurationRoot configuration, string section, bool includeDefaults = false)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentException.ThrowIfNullOrEmpty(section);
        return EffectiveValues.Read(configuration, section, includeDefaults);
    }

    /// <summary>The known name that is nearest to a misspelt one, for error messages.</summary>
    /// <param name="name">The misspelt name.</param>
    /// <param name="known">The names to choose from.</param>
    /// <returns>The nearest name; null if none differs by at most two letters or a third of its length.</returns>
    public static string? FindNearest(string name, IEnumerable<string> known)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(known);
        return SettingTable.Nearest(name, known);
    }

    /// <summary>Parses a time as configuration writes it: <c>500ms</c>, <c>30s</c>, <c>5m</c>, <c>2h</c>, <c>1d</c> or <c>00:01:30</c>.</summary>
    /// <param name="text">The text. A number without a unit is not valid.</param>
    /// <param name="value">The time, less than 100 years.</param>
    /// <returns>Whether the text is a time.</returns>
    public static bool TryParseDuration([NotNullWhen(true)] string? text, out TimeSpan value)
    {
        value = default;
        return text is not null && Duration.TryParse(text, out value);
    }

    /// <summary>Formats a time with the largest unit of which it is a whole number; <see cref="TryParseDuration"/> reads it.</summary>
    /// <param name="value">The time.</param>
    public static string FormatDuration(TimeSpan value) => Duration.Show(value);
}
