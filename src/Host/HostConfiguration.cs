using ByteStreams;
using Microsoft.Extensions.Configuration.Json;
using Microsoft.Extensions.Configuration.KeyPerFile;
using Microsoft.Extensions.Configuration.Memory;
using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.FileProviders.Physical;

namespace StreamsHost;

/// <summary>Where the configuration comes from, and what is told when a file cannot be read any more.</summary>
internal static partial class HostConfiguration
{
    /// <summary>The folder with a file for each key: how Kubernetes and Docker hand out secrets.</summary>
    public const string SecretsDirectory = "SecretsDirectory";

    /// <summary>What keys may begin with.</summary>
    public static IReadOnlyList<string> Sections { get; } = ["ByteStreams", "Admin", "Logging", SecretsDirectory];

    /// <summary>What a file that says nothing about it has.</summary>
    private static IReadOnlyDictionary<string, string?> Defaults { get; } = new Dictionary<string, string?>
    {
        ["Logging:LogLevel:Default"] = nameof(LogLevel.Information),
        ["Logging:LogLevel:Microsoft"] = nameof(LogLevel.Warning),
    };

    /// <summary>
    /// Reads one file or none, the folder of secrets over it, the environment over them, and the command line over all.
    /// </summary>
    /// <exception cref="EndpointConfigurationException">The file or the folder is not there.</exception>
    /// <exception cref="InvalidDataException">The file is no JSON.</exception>
    public static void AddSources(ConfigurationManager configuration, HostArguments arguments)
    {
        // What a builder has brought along: other files and variables than those that are documented.
        foreach (IConfigurationSource inherited in configuration.Sources.Where(source => source is not MemoryConfigurationSource).ToArray())
        {
            configuration.Sources.Remove(inherited);
        }

        configuration.AddInMemoryCollection(Defaults);
        if (!arguments.WithoutFile)
        {
            configuration.Sources.Add(arguments.File is string file ? Named(file) : Shipped());
        }

        configuration.AddEnvironmentVariables().AddCommandLine([.. arguments.Keys]);
        AddSecrets(configuration);
    }

    /// <summary>The file that lies beside the program, whatever folder it is started from.</summary>
    private static ConfigurationFile Shipped()
    {
        string? unwatchable = Unwatchable(AppContext.BaseDirectory);
        var files = new PhysicalFileProvider(AppContext.BaseDirectory);
        return new ConfigurationFile
        {
            FileProvider = unwatchable is null ? files : new PolledFolder(files, TimeProvider.System),
            Path = "appsettings.json",
            Optional = true,
            ReloadOnChange = true,
            Unwatchable = unwatchable,
        };
    }

    /// <summary>Why the system cannot report changes in a folder; null where it can. Instances of inotify are few, and shared by a user's programs.</summary>
    private static string? Unwatchable(string folder)
    {
        try
        {
            using var watcher = new FileSystemWatcher(folder) { EnableRaisingEvents = true };
            return null;
        }
        catch (IOException error)
        {
            return error.Message;
        }
    }

    private static ConfigurationFile Named(string file)
    {
        string path = Path.GetFullPath(file);
        if (!File.Exists(path))
        {
            throw new EndpointConfigurationException([Directory.Exists(path)
                ? $"--config: '{path}' is a folder. Name the file in it."
                : $"--config: there is no file '{path}'. Check the path; a relative one begins where the program is started."]);
        }

        return new ConfigurationFile
        {
            FileProvider = new PolledFolder(new PhysicalFileProvider(Path.GetDirectoryName(path)!, ExclusionFilters.None), TimeProvider.System),
            Path = Path.GetFileName(path),
            ReloadOnChange = true,
        };
    }

    /// <summary>Reads the folder, if there is one: over the file, under the environment and the command line.</summary>
    /// <exception cref="EndpointConfigurationException">The key names no folder.</exception>
    private static void AddSecrets(ConfigurationManager configuration)
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
        // Without a file, over the defaults.
        int last = sources.Select((source, i) => (source, i)).LastOrDefault(pair => pair.source is JsonConfigurationSource or MemoryConfigurationSource, (null!, -1)).i;
        sources.Insert(last + 1, new KeyPerFileConfigurationSource
        {
            // Kubernetes replaces all files at once by changing one symbolic link, of which the files' own events say nothing.
            FileProvider = new PolledFolder(new PhysicalFileProvider(folder), TimeProvider.System),
            Optional = true,
            ReloadOnChange = true,
        });
    }

    /// <summary>The path of the configuration file that was read; null for none.</summary>
    public static string? FileOf(IConfigurationBuilder configuration) =>
        configuration.Sources.OfType<ConfigurationFile>().FirstOrDefault() is ConfigurationFile file
        && file.FileProvider!.GetFileInfo(file.Path!) is { Exists: true } found
            ? found.PhysicalPath
            : null;

    /// <summary>Logs a warning where the file beside the program is polled because the system cannot report its changes.</summary>
    public static void WarnOfPolling(ConfigurationManager configuration, ILogger logger)
    {
        if (configuration.Sources.OfType<ConfigurationFile>().FirstOrDefault() is { Unwatchable: string reason } shipped)
        {
            Polled(logger, shipped.Path!, reason);
        }
    }

    /// <summary>Logs that a file was changed into one that cannot be read, of which nothing is taken over.</summary>
    /// <param name="configuration">The configuration.</param>
    /// <param name="logger">Where it is logged.</param>
    /// <param name="failed">Gets the reason as well.</param>
    public static void TellUnreadable(ConfigurationManager configuration, ILogger logger, Action<string> failed)
    {
        foreach (FileConfigurationSource source in configuration.Sources.OfType<FileConfigurationSource>())
        {
            source.OnLoadException = context => Tell(context.Provider.Source.Path ?? "a file", context.Exception);
        }

        foreach (PolledFolder secrets in configuration.Sources.OfType<KeyPerFileConfigurationSource>().Select(source => source.FileProvider).OfType<PolledFolder>())
        {
            secrets.Failed = error => Tell(SecretsDirectory, error);
        }

        void Tell(string file, Exception error)
        {
            string reason = $"{error.Message} {error.InnerException?.Message}".TrimEnd();
            Unreadable(logger, file, reason);
            failed(reason);
        }
    }

    [LoggerMessage(900, LogLevel.Error, "{File} has changed and cannot be read, what ran before goes on: {Reason}")]
    private static partial void Unreadable(ILogger logger, string file, string reason);

    [LoggerMessage(902, LogLevel.Warning, "{File} is polled every second: no inotify instance is left for this user (fs.inotify.max_user_instances). {Reason}")]
    private static partial void Polled(ILogger logger, string file, string reason);
}
