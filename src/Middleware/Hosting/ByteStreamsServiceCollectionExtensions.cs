using System.Diagnostics.Metrics;
using ByteStreams;
using ByteStreams.Admission;
using ByteStreams.Configuration;
using ByteStreams.Connections;
using ByteStreams.Groups;
using ByteStreams.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds byte-stream endpoints to an application.</summary>
public static class ByteStreamsServiceCollectionExtensions
{
    /// <summary>
    /// Adds the services of byte-stream endpoints. A second call returns a builder of the same registrations.
    /// </summary>
    /// <param name="services">The application's services.</param>
    /// <returns>The builder for handlers and endpoints.</returns>
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
        services.TryAddSingleton(provider =>
        {
            ServiceSettings settings = registry.ReadService();
            var options = new ByteStreamConnectionsOptions
            {
                MaxPending = settings.MaxPending,
                PendingTimeout = settings.PendingTimeout,
                TimeProvider = provider.GetService<TimeProvider>() ?? TimeProvider.System,
            };
            var connections = new ByteStreamConnections(options, provider.GetService<ILogger<ByteStreamConnections>>(), provider.GetService<ByteStreamBackplane>());
            provider.GetRequiredService<ByteStreamMetrics>().Report(connections);
            return connections;
        });
        services.TryAddSingleton(_ => new ConnectionTotal(registry.ReadService().MaxConnections));
        services.TryAddSingleton(provider => new EndpointValidator(provider));
        services.TryAddSingleton<IEndpointAnnouncer, LoggingAnnouncer>();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, ByteStreamsService>());
        return new ByteStreamsBuilder(services, registry);
    }

    /// <summary>
    /// Makes the application's own Kestrel listen through this library's transport in place of its stock one, on TCP, Unix sockets and
    /// inherited descriptors (<c>ListenHandle</c>, <c>UseSystemd</c>). HTTP behaves as on the stock transport; byte-stream endpoints
    /// gain half-close, replies that survive the close, and accept errors that do not burn a core.
    /// </summary>
    /// <remarks>
    /// <para>
    /// The order of registrations does not matter: <c>UseKestrel</c> and <c>UseSockets</c> before or after leave TCP, Unix and handle
    /// endpoints to this transport. Other endpoints, such as named pipes and HTTP/3, stay with theirs; an
    /// <see cref="IConnectionListenerFactory"/> of the application's own that is registered after this call is asked first.
    /// </para>
    /// <para>
    /// Of the options of <c>UseSockets</c>, <c>Backlog</c>, <c>NoDelay</c>, <c>MaxWriteBufferSize</c> (as
    /// <see cref="ByteStreamTransportOptions.WriteBufferHighWater"/>) and <c>CreateBoundListenSocket</c> apply where they differ from
    /// their defaults and <paramref name="configure"/> does not set their counterpart. A socket from <c>CreateBoundListenSocket</c> is
    /// used as it is bound: options that shape the bind, such as <see cref="ByteStreamListenOptions.UnixSocketMode"/>, do not apply to it.
    /// One warning (event 304) names changed options that have no counterpart.
    /// </para>
    /// </remarks>
    /// <param name="services">The application's services.</param>
    /// <param name="configure">Sets the listeners' options. Called again, the method adds to the settings of the calls before.</param>
    /// <returns>The same services.</returns>
    public static IServiceCollection AddByteStreamTransport(this IServiceCollection services, Action<ByteStreamServerOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        if (services.FirstOrDefault(service => service.ServiceType == typeof(TransportRegistration))?.ImplementationInstance is not TransportRegistration registration)
        {
            registration = new TransportRegistration(services);
            services.AddSingleton(registration);
            services.AddSingleton<IConnectionListenerFactory>(registration.GetFactory);
            services.AddSingleton(registration.GetFactories);
        }

        if (configure is not null)
        {
            registration.Configure(configure);
        }

        return services;
    }
}
