using ByteStreams;
using Microsoft.Extensions.Configuration.Json;
using Microsoft.Extensions.Configuration.KeyPerFile;
using Microsoft.Extensions.Configuration.Memory;
using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.FileProviders.Physical;

namespace StreamsHost.Configuration;

/// <summary>The sources of the configuration, and the log messages about files that cannot be read.</summary>
internal static partial class HostConfiguration
{
    /// <summary>The file of an installed program, in whose folder there are only programs.</summary>
    public const string SystemFile = "/etc/streamshost/appsettings.json";

    private const string FileName = "appsettings.json";

    /// <summary>The folder with one file per key, as Kubernetes and Docker mount secrets.</summary>
    public const string SecretsDirectory = "SecretsDirectory";

    /// <summary>The sections of the host.</summary>
    public static IReadOnlyList<string> Sections { get; } = ["ByteStreams", "Admin", "Logging", SecretsDirectory];

    /// <summary>The defaults under the file.</summary>
    private static IReadOnlyDictionary<string, string?> Defaults { get; } = new Dictionary<string, string?>
    {
        ["Logging:LogLevel:Default"] = nameof(LogLevel.Information),
        ["Logging:LogLevel:Microsoft"] = nameof(LogLevel.Warning),
    };

    /// <summary>
    /// Reads one file or none, the folder of secrets over it, the environment over them, and the command line over all.
    /// </summary>
    /// <exception cref="EndpointConfigurationException">The file or the folder does not exist.</exception>
    /// <exception cref="InvalidDataException">The file is not valid JSON.</exception>
    public static void AddSources(ConfigurationManager configuration, HostArguments arguments)
    {
        // The builder's own sources are files and variables that are not documented.
        foreach (IConfigurationSource inherited in configuration.Sources.Where(source => source is not MemoryConfigurationSource).ToArray())
        {
            configuration.Sources.Remove(inherited);
        }

        configuration.AddInMemoryCollection(Defaults);
        if (!arguments.WithoutFile)
        {
            configuration.Sources.Add(arguments.File is string file ? Named(file) : Default());
        }

        configuration.AddEnvironmentVariables().AddCommandLine([.. arguments.Keys]);
        AddSecrets(configuration);
    }

    /// <summary>The file in the folder of the program, or where there is none the system's.</summary>
    private static ConfigurationFile Default() =>
        !OperatingSystem.IsWindows() && !File.Exists(Path.Combine(AppContext.BaseDirectory, FileName)) && File.Exists(SystemFile)
            ? Named(SystemFile)
            : Shipped();

    /// <summary>The file in the folder of the program.</summary>
    private static ConfigurationFile Shipped()
    {
        string? unwatchable = Unwatchable(AppContext.BaseDirectory);
        var files = new PhysicalFileProvider(AppContext.BaseDirectory);
        return new ConfigurationFile
        {
            FileProvider = unwatchable is null ? files : new PolledFolder(files, TimeProvider.System),
            Path = FileName,
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
                ? $"--config: '{path}' is a folder. Give the file in it."
                : $"--config: there is no file '{path}'. Check the path; a relative path starts in the current folder."]);
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
                [$"{SecretsDirectory}: '{folder}' is a relative path, which would depend on the current folder. Write an absolute path."]);
        }

        if (!Directory.Exists(folder))
        {
            throw new EndpointConfigurationException([$"{SecretsDirectory}: there is no folder '{folder}'. Create it, or remove the key."]);
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

    /// <summary>Logs files that have changed and cannot be read; the running configuration stays.</summary>
    /// <param name="configuration">The configuration.</param>
    /// <param name="logger">The logger.</param>
    /// <param name="failed">Receives the reason too.</param>
    public static void ReportUnreadable(ConfigurationManager configuration, ILogger logger, Action<string> failed)
    {
        foreach (FileConfigurationSource source in configuration.Sources.OfType<FileConfigurationSource>())
        {
            source.OnLoadException = context => Report(context.Provider.Source.Path ?? "a file", context.Exception);
        }

        foreach (PolledFolder secrets in configuration.Sources.OfType<KeyPerFileConfigurationSource>().Select(source => source.FileProvider).OfType<PolledFolder>())
        {
            secrets.Failed = error => Report(SecretsDirectory, error);
        }

        void Report(string file, Exception error)
        {
            string reason = $"{error.Message} {error.InnerException?.Message}".TrimEnd();
            Unreadable(logger, file, reason);
            failed(reason);
        }
    }

    [LoggerMessage(900, LogLevel.Error, "Configuration reload failed: {File} cannot be read; keeping the running configuration: {Reason}")]
    private static partial void Unreadable(ILogger logger, string file, string reason);

    [LoggerMessage(902, LogLevel.Warning, "{File} is polled every second: this user has no inotify instance left (fs.inotify.max_user_instances). {Reason}")]
    private static partial void Polled(ILogger logger, string file, string reason);
}
