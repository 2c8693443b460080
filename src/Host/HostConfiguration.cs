using ByteStreams;
using Microsoft.Extensions.Configuration.Json;
using Microsoft.Extensions.Configuration.KeyPerFile;
using Microsoft.Extensions.FileProviders;

namespace StreamsHost;

/// <summary>What the host reads beside what every .NET program does, and what it tells when a file cannot be read any more.</summary>
internal static partial class HostConfiguration
{
    /// <summary>The folder with a file for each key: how Kubernetes and Docker hand out secrets.</summary>
    public const string SecretsDirectory = "SecretsDirectory";

    /// <summary>Reads the folder, if there is one: over appsettings.json, under the environment and the command line.</summary>
    /// <exception cref="EndpointConfigurationException">The key names no folder.</exception>
    public static void AddSecrets(ConfigurationManager configuration)
    {
        if (configuration[SecretsDirectory] is not { Length: > 0 } folder)
        {
            return;
        }

        if (!Path.IsPathRooted(folder))
        {
            throw new EndpointConfigurationException(
                [$"{SecretsDirectory}: '{folder}' is a relative path, which would depend on where the program is started. Write the whole path."]);
        }

        if (!Directory.Exists(folder))
        {
            throw new EndpointConfigurationException([$"{SecretsDirectory}: there is no folder '{folder}'. Make it, or leave the key out."]);
        }

        IList<IConfigurationSource> sources = configuration.Sources;
        int last = sources.Select((source, i) => (source, i)).LastOrDefault(pair => pair.source is JsonConfigurationSource, (null!, -1)).i;
        sources.Insert(last + 1, new KeyPerFileConfigurationSource
        {
            // Kubernetes replaces all files at once by changing one symbolic link, of which the files' own events say nothing.
            FileProvider = new PhysicalFileProvider(folder) { UsePollingFileWatcher = true, UseActivePolling = true },
            Optional = true,
            ReloadOnChange = true,
        });
    }

    /// <summary>Logs that a file was changed into one that cannot be read. Without it nobody would tell: nothing is taken over then.</summary>
    public static void TellUnreadable(ConfigurationManager configuration, ILogger logger)
    {
        foreach (FileConfigurationSource source in configuration.Sources.OfType<FileConfigurationSource>())
        {
            source.OnLoadException = context => Unreadable(
                logger, context.Provider.Source.Path ?? "a file", $"{context.Exception.Message} {context.Exception.InnerException?.Message}".TrimEnd());
        }
    }

    [LoggerMessage(900, LogLevel.Error, "{File} has changed and cannot be read, what ran before goes on: {Reason}")]
    private static partial void Unreadable(ILogger logger, string file, string reason);
}
