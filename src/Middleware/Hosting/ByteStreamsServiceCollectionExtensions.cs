using ByteStreams.Hosting;
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

        var registry = new EndpointRegistry();
        services.AddLogging();
        services.AddSingleton(registry);
        services.TryAddSingleton(new ByteStreamServers());
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, ByteStreamsService>());
        return new ByteStreamsBuilder(services, registry);
    }
}
