using ByteStreams;
using StreamsHost.Admin;
using StreamsHost.Lifetime;

namespace StreamsHost.Commands;

/// <summary>Runs the configured endpoints until a signal ends them.</summary>
internal sealed class RunCommand : HostSubcommand
{
    public RunCommand(ConfigurationKeys keys, ConfigurationFileOption file)
        : base(
            "run",
            "Runs the configured endpoints until a signal ends them. This is what happens without a command.",
            "run",
            "run --config /etc/streamshost/appsettings.json",
            "run --ByteStreams:Endpoints:echo:Url=tcp://*:7007 --Logging:LogLevel:Default=Debug")
    {
        Add(file);
        SetAction((parsed, cancellationToken) => RunAsync(new HostArguments(parsed.GetValue(file), keys.Keys), cancellationToken));
    }

    private static async Task<int> RunAsync(HostArguments arguments, CancellationToken cancellationToken)
    {
        WebApplicationBuilder builder = HostApplication.CreateBuilder(arguments).AddLifetime();

        // A failed start is told in one line for each mistake; the host would add a stack trace.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        await using WebApplication host = builder.Build();
        ILogger logger = host.Services.GetRequiredService<ILoggerFactory>().CreateLogger("StreamsHost");
        HostConfiguration.TellUnreadable(builder.Configuration, logger);
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
}
