using Microsoft.Extensions.Configuration;

namespace ByteStreams;

/// <summary>A configuration value in effect, and its source.</summary>
/// <param name="Key">The whole key, such as <c>ByteStreams:Endpoints:echo:Limit</c>.</param>
/// <param name="Value">The value as text.</param>
/// <param name="Provider">The configuration provider that has the value; null for a built-in default.</param>
public sealed record EffectiveValue(string Key, string Value, IConfigurationProvider? Provider)
{
    private static readonly string[] SecretNames = ["password", "secret", "token", "apikey", "credential"];

    /// <summary>The key in the section <c>Defaults</c> from which an endpoint has the value; null if the value stands at <see cref="Key"/> itself.</summary>
    public string? InheritedFrom { get; init; }

    /// <summary>Whether the last part of the key names a secret, such as a password: the value should not be shown.</summary>
    public bool IsSecret
    {
        get
        {
            string name = ConfigurationPath.GetSectionKey(Key);
            return Array.Exists(SecretNames, secret => name.Contains(secret, StringComparison.OrdinalIgnoreCase));
        }
    }
}
