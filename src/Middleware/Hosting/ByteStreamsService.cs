using System.Net.Sockets;
using ByteStreams.Configuration;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Hosting;

/// <summary>Starts the endpoints with the host and drains them with it.</summary>
internal sealed class ByteStreamsService(
    EndpointRegistry registry, ByteStreamServers servers, IServiceProvider services, ILoggerFactory loggerFactory) : IHostedService
{
    private readonly List<KeyValuePair<string, ByteStreamServer>> _running = [];

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        var errors = new List<string>();
        foreach (EndpointPlan plan in registry.Plan(services, loggerFactory))
        {
            try
            {
                _running.Add(new(plan.Name, await ByteStreamServer.StartAsync(
                    plan.Handler,
                    await plan.Url.ResolveAsync(plan.Options, cancellationToken).ConfigureAwait(false),
                    null,
                    plan.Options,
                    cancellationToken).ConfigureAwait(false)));
            }
            catch (Exception error) when (error is AddressInUseException or IOException or SocketException or PlatformNotSupportedException)
            {
                errors.Add($"{plan.Path}:{EndpointKeys.Url}: {error.Message}");
            }
        }

        if (errors.Count > 0)
        {
            // All or nothing: a service of which half is up looks well from outside.
            foreach ((_, ByteStreamServer server) in _running)
            {
                server.AbortClients();
                await server.DisposeAsync().ConfigureAwait(false);
            }

            _running.Clear();
            throw new EndpointConfigurationException(errors);
        }

        servers.Set(_running);
    }

    public Task StopAsync(CancellationToken cancellationToken) =>
        Task.WhenAll(_running.Select(running => running.Value.StopAsync(cancellationToken)));
}
