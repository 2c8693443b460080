using ByteStreams;
using Microsoft.Extensions.Configuration.Json;

namespace StreamsHost;

/// <summary>
/// The configuration file. Relative paths of certificates, keys and authorities in it begin in its own folder, wherever the program is started.
/// </summary>
internal sealed class ConfigurationFile : JsonConfigurationSource
{
    /// <summary>Keys whose values are paths of files.</summary>
    private static readonly string[] FilePaths =
    [
        nameof(TlsCertificateOptions.Path), nameof(TlsCertificateOptions.KeyPath), nameof(TlsServerOptions.ClientCaPath), nameof(TlsClientOptions.CaPath),
    ];

    /// <summary>Why it is polled although the system should report its changes; null where it does, and for a file that is always polled.</summary>
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
