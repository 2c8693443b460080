using System.Diagnostics.Metrics;
using ByteStreams;
using ByteStreams.Admission;
using ByteStreams.Hosting;
using ByteStreams.Telemetry;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds byte-stream endpoints to an application.</summary>
public static class ByteStreamsServiceCollectionExtensions
{
    /// <summary>
    /// Adds what runs byte-stream endpoints beside whatever else the application hosts. Called again, it goes on with the same
    /// registrations.
    /// </summary>
    /// <param name="services">The application's services.</param>
    /// <returns>The builder that takes handlers and endpoints.</returns>
    public static ByteStreamsBuilder AddByteStreams(this IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);
        if (services.FirstOrDefault(service => service.ServiceType == typeof(EndpointRegistry))?.ImplementationInstance is EndpointRegistry known)
        {
            return new ByteStreamsBuilder(services, known);
        }

        var registry = new EndpointRegistry { Services = services };
        services.AddLogging();
        services.AddMetrics();
        services.AddSingleton(registry);
        services.TryAddSingleton(new ByteStreamServers());
        services.TryAddSingleton(provider => new ByteStreamMetrics(provider.GetService<IMeterFactory>()));
        services.TryAddSingleton(provider => new ByteStreamMonitor(
            provider.GetRequiredService<ByteStreamServers>(), provider.GetRequiredService<ByteStreamMetrics>()));
        services.TryAddSingleton(_ => new ConnectionTotal(registry.ReadService().MaxConnections));
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, ByteStreamsService>());
        return new ByteStreamsBuilder(services, registry);
    }

    /// <summary>
    /// Lets the application's own Kestrel listen through this library's transport instead of its stock one, on TCP and Unix sockets:
    /// half-close works there too, replies survive the close, and a shortage of descriptors does not burn a core.
    /// </summary>
    /// <param name="services">The application's services.</param>
    /// <param name="configure">Sets the listeners' options.</param>
    /// <returns>The same services.</returns>
    public static IServiceCollection AddByteStreamTransport(this IServiceCollection services, Action<ByteStreamServerOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        // Kestrel asks the last registered factory first whether it can bind an endpoint.
        return services.AddSingleton<IConnectionListenerFactory>(provider =>
        {
            var options = new ByteStreamServerOptions { ApplicationServices = provider };
            if (provider.GetService<IMemoryPoolFactory<byte>>() is IMemoryPoolFactory<byte> pools)
            {
                // Kestrel's own pool of pinned blocks, for what HTTP takes from the connection's pool.
                options.MemoryPool = pools.Create();
            }

            configure?.Invoke(options);
            return new ByteStreamTransportFactory(options);
        });
    }
}
