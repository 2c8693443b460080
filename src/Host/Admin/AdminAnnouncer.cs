using System.Net;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using StreamsHost.Output;

namespace StreamsHost.Admin;

/// <summary>Reports the addresses of the HTTP side, and warns if other machines may make changes.</summary>
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
