using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ByteStreams.Hosting;

/// <summary>This library's transport in an application's services: its options, and its place among the transports.</summary>
/// <param name="services">The application's services, complete when the first transport is resolved.</param>
internal sealed class TransportRegistration(IServiceCollection services)
{
    private readonly Lock _lock = new();
    private readonly List<Action<ByteStreamServerOptions>> _configure = [];
    private ByteStreamTransportFactory? _factory;

    public void Configure(Action<ByteStreamServerOptions> configure) => _configure.Add(configure);

    /// <summary>The transport. Options given to it win over those of <c>UseSockets</c>.</summary>
    public ByteStreamTransportFactory GetFactory(IServiceProvider provider)
    {
        lock (_lock)
        {
            return _factory ??= Create(provider);
        }
    }

    /// <summary>
    /// All transports, with Kestrel's own sockets before every other: Kestrel asks the last one first, and <c>UseSockets</c> after
    /// <c>AddByteStreamTransport</c> would hide this one.
    /// </summary>
    public IEnumerable<IConnectionListenerFactory> GetFactories(IServiceProvider provider)
    {
        IConnectionListenerFactory[] registered =
        [
            .. services
                .Where(service => service.ServiceType == typeof(IConnectionListenerFactory) && !service.IsKeyedService)
                .Select(service => Resolve(service, provider)),
        ];
        return [.. registered.Where(factory => factory is SocketTransportFactory), .. registered.Where(factory => factory is not SocketTransportFactory)];
    }

    private static IConnectionListenerFactory Resolve(ServiceDescriptor service, IServiceProvider provider) => (IConnectionListenerFactory)(
        service.ImplementationInstance
        ?? service.ImplementationFactory?.Invoke(provider)
        ?? ActivatorUtilities.CreateInstance(provider, service.ImplementationType!));

    private ByteStreamTransportFactory Create(IServiceProvider provider)
    {
        var options = new ByteStreamServerOptions { ApplicationServices = provider };
        if (provider.GetService<ILoggerFactory>() is ILoggerFactory loggerFactory)
        {
            options.LoggerFactory = loggerFactory;
        }

        if (provider.GetService<IMemoryPoolFactory<byte>>() is IMemoryPoolFactory<byte> pools)
        {
            // Kestrel's own pool of pinned blocks, for what HTTP takes from the connection's pool.
            options.MemoryPool = pools.Create();
        }

        Func<EndPoint, Socket>? createBoundSocket = provider.GetService<IOptions<SocketTransportOptions>>() is { Value: SocketTransportOptions sockets }
            ? KestrelSocketOptions.Apply(sockets, options, options.LoggerFactory.CreateLogger("ByteStreams.Transport"))
            : null;
        _configure.ForEach(configure => configure(options));
        return new ByteStreamTransportFactory(options, null, createBoundSocket);
    }
}
