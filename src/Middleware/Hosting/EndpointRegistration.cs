using Microsoft.Extensions.Configuration;

namespace ByteStreams.Hosting;

/// <summary>An endpoint as it was asked for, in code or in configuration; not looked at yet.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Url">Where it listens, as written in code.</param>
/// <param name="Handler">The name of its handler, as written in code; null where <paramref name="Callback"/> is the handler.</param>
/// <param name="Callback">Its handler, given in code.</param>
/// <param name="Configure">What code does to its options, after the settings.</param>
/// <param name="Path">How error messages name it: the configuration path, or the call that added it.</param>
/// <param name="Sections">What configuration says of it: the defaults, and its own section. Empty for one that was added in code.</param>
internal sealed record EndpointRegistration(
    string Name,
    string? Url,
    string? Handler,
    ByteStreamDelegate? Callback,
    Action<ByteStreamServerOptions>? Configure,
    string Path,
    IReadOnlyList<IConfigurationSection> Sections);
