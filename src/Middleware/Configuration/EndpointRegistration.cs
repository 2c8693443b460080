using Microsoft.Extensions.Configuration;

namespace ByteStreams.Configuration;

/// <summary>An endpoint as it was registered, in code or in configuration; not validated.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Url">Its URL, if it was added in code.</param>
/// <param name="Handler">The name of its handler, if it was added in code; null if <paramref name="Callback"/> is the handler.</param>
/// <param name="Callback">Its handler, if code passed one.</param>
/// <param name="Configure">Sets its options in code, after the configuration is applied.</param>
/// <param name="Path">Its name in errors: the configuration path, or the call that added it.</param>
/// <param name="Sections">Its configuration: the defaults, and its own section. Empty if it was added in code.</param>
internal sealed record EndpointRegistration(
    string Name,
    string? Url,
    string? Handler,
    ByteStreamDelegate? Callback,
    Action<ByteStreamServerOptions>? Configure,
    string Path,
    IReadOnlyList<IConfigurationSection> Sections);
