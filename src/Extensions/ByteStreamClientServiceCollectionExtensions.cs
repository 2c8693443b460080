using System.Diagnostics.CodeAnalysis;
using ByteStreams;
using ByteStreams.Pooling;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Polly;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Clients of ByteStreams by dependency injection.</summary>
public static class ByteStreamClientServiceCollectionExtensions
{
    /// <summary>
    /// Adds a named client: a pool of connections, registered as the keyed singleton <see cref="ByteStreamPool"/>.
    /// </summary>
    /// <param name="services">The services of the application.</param>
    /// <param name="name">The name: the key of the service, and the configuration section <c>ByteStreamClients:NAME</c>.</param>
    /// <param name="url">
    /// <c>tcp://host:port</c>, <c>tls://host:port</c>, <c>unix:/path</c> or <c>unix:@name</c>; the key <c>Url</c> overrides it. Null if only the configuration
    /// has it.
    /// </param>
    /// <returns>A builder for options, middleware, service discovery and resilience.</returns>
    /// <exception cref="ArgumentException">The name is empty or has a colon.</exception>
    /// <remarks>
    /// The options are validated when the host starts (<see cref="OptionsValidationException"/> with all errors), and read once, when the pool is created.
    /// </remarks>
    /// <example>
    /// <code>
    /// services.AddByteStreamClient&lt;OrderClient&gt;("orders", "tls://orders.example:7443")
    ///     .ConfigureConnection(connection =&gt; connection.UseTimeouts(timeouts =&gt; timeouts.ReceiveIdle = TimeSpan.FromSeconds(30)));
    /// </code>
    /// </example>
    public static ByteStreamClientBuilder AddByteStreamClient(this IServiceCollection services, string name, string? url = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (name.Contains(':', StringComparison.Ordinal))
        {
            throw new ArgumentException($"The name '{name}' has a colon, which separates configuration keys. Choose another name.", nameof(name));
        }

        var builder = new ByteStreamClientBuilder(services, name);
        services.AddOptions<ByteStreamPoolOptions>(name)
            .Configure<IServiceProvider>((options, provider) =>
            {
                options.Url = url ?? options.Url;
                if (provider.GetService<IConfiguration>() is IConfiguration configuration)
                {
                    PoolConfiguration.Read(configuration, name, options);
                }
            })
            .ValidateOnStart();
        if (services.Any(service => service.IsKeyedService && service.ServiceType == typeof(ByteStreamPool) && name.Equals(service.ServiceKey)))
        {
            return builder;
        }

        services.AddLogging();
        services.AddMetrics();
        services.TryAddSingleton<PoolMetrics>();
        services.AddSingleton<IValidateOptions<ByteStreamPoolOptions>>(new PoolOptionsValidator(name));
        services.AddResiliencePipeline(PoolFactory.ResilienceKey(name), (pipeline, context) => PoolFactory.ConfigureResilience(pipeline, context.ServiceProvider, name));
        services.AddKeyedSingleton(name, static (provider, key) => PoolFactory.Create(provider, (string)key!));
        return builder;
    }

    /// <summary>As <see cref="AddByteStreamClient(IServiceCollection, string, string?)"/>, with a typed client.</summary>
    /// <typeparam name="TClient">A class whose constructor has a parameter of type <see cref="ByteStreamPool"/>; a transient service.</typeparam>
    /// <param name="services">The services of the application.</param>
    /// <param name="name">As in <see cref="AddByteStreamClient(IServiceCollection, string, string?)"/>.</param>
    /// <param name="url">As in <see cref="AddByteStreamClient(IServiceCollection, string, string?)"/>.</param>
    /// <returns>The builder.</returns>
    public static ByteStreamClientBuilder AddByteStreamClient<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TClient>(
        this IServiceCollection services, string name, string? url = null)
        where TClient : class
    {
        ByteStreamClientBuilder builder = services.AddByteStreamClient(name, url);
        services.AddTransient(provider => ActivatorUtilities.CreateInstance<TClient>(provider, provider.GetRequiredKeyedService<ByteStreamPool>(name)));
        return builder;
    }
}
