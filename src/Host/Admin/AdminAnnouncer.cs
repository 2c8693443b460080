using System.Net;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace StreamsHost.Admin;

/// <summary>Tells where the HTTP side listens, as the endpoints' announcer does, and warns where more than this machine may change something.</summary>
internal sealed class AdminAnnouncer(
    IServer server, AdminSettings settings, IConfiguration configuration, TextWriter output, ILogger<AdminAnnouncer> logger) : IHostedLifecycleService
{
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        foreach (string address in server.Features.Get<IServerAddressesFeature>()?.Addresses ?? [])
        {
            if (HostLogging.IsReadable(configuration))
            {
                output.WriteLine($"{"(status)",-12} {address}");
            }
            else
            {
                AdminLog.Listening(logger, address);
            }

            if (settings.Options.AllowChanges && !IsLocal(address))
            {
                AdminLog.ChangesFromAfar(logger, address);
            }
        }

        output.Flush();
        return Task.CompletedTask;
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private static bool IsLocal(string address)
    {
        var parsed = BindingAddress.Parse(address);
        return parsed.IsUnixPipe || (IPAddress.TryParse(parsed.Host, out IPAddress? ip) && IPAddress.IsLoopback(ip));
    }
}
