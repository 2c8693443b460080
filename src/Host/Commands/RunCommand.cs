using System.Globalization;
using ByteStreams;
using ByteStreams.Connections;
using ByteStreams.Transport;
using StreamsHost.Admin;
using StreamsHost.Lifetime;

namespace StreamsHost.Commands;

/// <summary>Runs the configured endpoints until a signal ends them.</summary>
internal sealed class RunCommand : HostSubcommand
{
    /// <summary>On the .NET runtime, an idle host holds some 206 descriptors: 188 of them are assemblies.</summary>
    private const long LeastDescriptors = 256;

    public RunCommand(ConfigurationKeys keys, ConfigurationFileOption file)
        : base(
            "run",
            "Runs the configured endpoints until a signal ends them. This is what happens without a command.",
            "run",
            "run --config /etc/streamshost/appsettings.json",
            "run --ByteStreams:Endpoints:echo:Url=tcp://*:7007 --Logging:LogLevel:Default=Debug")
    {
        file.AddTo(this);
        SetAction((parsed, cancellationToken) => RunAsync(file.Read(parsed, keys), cancellationToken));
    }

    private static async Task<int> RunAsync(HostArguments arguments, CancellationToken cancellationToken)
    {
        RequireDescriptors();
        WebApplicationBuilder builder = HostApplication.CreateBuilder(arguments).AddLifetime();

        // A failed start is told in one line for each mistake; the host would add a stack trace.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        await using WebApplication host = builder.Build();
        ILogger logger = host.Services.GetRequiredService<ILoggerFactory>().CreateLogger("StreamsHost");
        ByteStreamMetrics metrics = host.Services.GetRequiredService<ByteStreamMetrics>();
        TimeProvider time = host.Services.GetRequiredService<TimeProvider>();
        HostConfiguration.TellUnreadable(builder.Configuration, logger, reason => metrics.Reloaded(new ReloadOutcome(time.GetUtcNow(), [reason])));
        HostConfiguration.WarnOfPolling(builder.Configuration, logger);
        host.MapAdmin();
        ByteStreamServers servers = host.Services.GetRequiredService<ByteStreamServers>();
        IHostApplicationLifetime lifetime = host.Services.GetRequiredService<IHostApplicationLifetime>();
        try
        {
            await host.RunAsync(cancellationToken);
        }
        catch (OperationCanceledException) when (lifetime.ApplicationStopping.IsCancellationRequested)
        {
            // Told to end while it started: endpoints that are up already end as always.
            if (servers.State == ByteStreamsState.Starting)
            {
                return ExitCodes.Clean;
            }
        }

        return ExitCodes.Of(await servers.DrainAsync(CancellationToken.None));
    }

    /// <summary>Before most assemblies are loaded: each holds a descriptor, and the runtime ends the process when it cannot have one.</summary>
    private static void RequireDescriptors()
    {
        long limit = DescriptorLimit.Process.Most;
        if (limit < LeastDescriptors)
        {
            throw new CommandException(string.Create(
                CultureInfo.InvariantCulture,
                $"The limit of {limit} open descriptors is too low: it takes {LeastDescriptors} at least. Raise the hard limit (ulimit -n, LimitNOFILE=, docker run --ulimit nofile=)."));
        }
    }
}
