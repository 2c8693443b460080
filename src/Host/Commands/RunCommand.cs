using System.Globalization;
using ByteStreams;
using StreamsHost.Configuration;
using StreamsHost.Hosting;
using StreamsHost.Lifetime;

namespace StreamsHost.Commands;

/// <summary>Runs the configured endpoints until a signal stops the host.</summary>
internal sealed class RunCommand : HostSubcommand
{
    /// <summary>An idle host on the .NET runtime has about 206 open descriptors, 188 of them for assemblies.</summary>
    private const long LeastDescriptors = 256;

    public RunCommand(ConfigurationKeys keys, ConfigurationFileOption file)
        : base(
            "run",
            "Runs the configured endpoints until a signal stops the host. This is the default command.",
            "run",
            "run --config /etc/streamshost/appsettings.json",
            "run --ByteStreams:Endpoints:echo:Url=tcp://*:7007 --Logging:LogLevel:Default=Debug")
    {
        file.AddTo(this);
        SetAction((parsed, cancellationToken) => RunAsync(file.Read(parsed, keys), cancellationToken));
    }

    /// <summary>Runs the host until it is stopped.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(HostArguments arguments, CancellationToken cancellationToken)
    {
        RequireDescriptors();
        WebApplicationBuilder builder = HostApplication.CreateBuilder(arguments).AddLifetime();

        // A failed start is reported with one line per error; the framework would add a stack trace.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        await using WebApplication host = builder.Build();
        ILogger logger = host.Services.GetRequiredService<ILoggerFactory>().CreateLogger("StreamsHost");
        ByteStreamServers servers = host.Services.GetRequiredService<ByteStreamServers>();
        HostConfiguration.ReportUnreadable(builder.Configuration, logger, servers.ReportUnreadableConfiguration);
        HostConfiguration.WarnOfPolling(builder.Configuration, logger);
        host.MapAdmin();
        IHostApplicationLifetime lifetime = host.Services.GetRequiredService<IHostApplicationLifetime>();
        try
        {
            await host.RunAsync(cancellationToken);
        }
        catch (OperationCanceledException) when (lifetime.ApplicationStopping.IsCancellationRequested)
        {
            // Stopped during the start: endpoints that have started drain as usual.
            if (servers.State == ByteStreamsState.Starting)
            {
                return ExitCodes.Clean;
            }
        }

        return ExitCodes.FromReport(await servers.DrainAsync(CancellationToken.None));
    }

    /// <summary>Called before most assemblies are loaded: each takes a descriptor, and the runtime ends the process without one.</summary>
    private static void RequireDescriptors()
    {
        long limit = ByteStreamServers.DescriptorLimit;
        if (limit < LeastDescriptors)
        {
            throw new CommandException(string.Create(
                CultureInfo.InvariantCulture,
                $"The limit of {limit} open descriptors is too low: at least {LeastDescriptors} are needed. Raise the hard limit (ulimit -n, LimitNOFILE=, docker run --ulimit nofile=)."));
        }
    }
}
