using ByteStreams;
using Microsoft.Extensions.Configuration.Json;

namespace StreamsHost.Configuration;

/// <summary>
/// The configuration file. Relative paths of certificates, keys and authorities in it start in its own folder.
/// </summary>
internal sealed class ConfigurationFile : JsonConfigurationSource
{
    /// <summary>Keys whose values are file paths.</summary>
    private static readonly string[] FilePaths =
    [
        nameof(TlsCertificateOptions.Path), nameof(TlsCertificateOptions.KeyPath), nameof(TlsServerOptions.ClientCaPath), nameof(TlsClientOptions.CaPath),
    ];

    /// <summary>Why the file is polled instead of watched; null if it is watched, or always polled.</summary>
    public string? Unwatchable { get; init; }

    public override IConfigurationProvider Build(IConfigurationBuilder builder)
    {
        EnsureDefaults(builder);
        return new Provider(this);
    }

    private sealed class Provider(ConfigurationFile file) : JsonConfigurationProvider(file)
    {
        public override void Load(Stream stream)
        {
            base.Load(stream);
            if (System.IO.Path.GetDirectoryName(file.FileProvider?.GetFileInfo(file.Path!).PhysicalPath) is not { Length: > 0 } folder)
            {
                return;
            }

            foreach ((string key, string? value) in Data.ToArray())
            {
                if (!string.IsNullOrEmpty(value) && IsFilePath(key))
                {
                    Data[key] = System.IO.Path.Combine(folder, value);
                }
            }
        }

        private static bool IsFilePath(string key) =>
            key.StartsWith("ByteStreams:", StringComparison.OrdinalIgnoreCase)
            && key.Contains(":Tls:", StringComparison.OrdinalIgnoreCase)
            && FilePaths.Contains(ConfigurationPath.GetSectionKey(key), StringComparer.OrdinalIgnoreCase);
    }
}
