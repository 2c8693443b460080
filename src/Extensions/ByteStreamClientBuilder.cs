using Microsoft.Extensions.DependencyInjection;
using Polly;

namespace ByteStreams;

/// <summary>Configures a named client. Returned by <c>services.AddByteStreamClient</c>.</summary>
public sealed class ByteStreamClientBuilder
{
    internal ByteStreamClientBuilder(IServiceCollection services, string name)
    {
        Services = services;
        Name = name;
    }

    /// <summary>The name of the client.</summary>
    public string Name { get; }

    /// <summary>The services of the application.</summary>
    public IServiceCollection Services { get; }

    /// <summary>Changes the options, after the configuration section was read.</summary>
    /// <param name="configure">Changes them.</param>
    /// <returns>This builder.</returns>
    public ByteStreamClientBuilder Configure(Action<ByteStreamPoolOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(configure);
        // After all Configure calls, of which the configuration section is one.
        Services.PostConfigure(Name, configure);
        return this;
    }

    /// <summary>Configures each connection: TLS, buffers, keep-alive, and connection middleware such as <c>UseTimeouts</c>.</summary>
    /// <param name="configure">Called once, when the pool is created.</param>
    /// <returns>This builder.</returns>
    public ByteStreamClientBuilder ConfigureConnection(Action<ByteStreamClientOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(configure);
        return Configure(options => options.ConfigureConnection += configure);
    }

    /// <summary>
    /// Takes the addresses from Microsoft.Extensions.ServiceDiscovery: the host of the URL is the name of the service, its scheme selects among the
    /// service's endpoints, and each connect attempt takes the next address.
    /// </summary>
    /// <returns>This builder.</returns>
    public ByteStreamClientBuilder UseServiceDiscovery()
    {
        Services.AddServiceDiscovery();
        return Configure(static options => options.UsesServiceDiscovery = true);
    }

    /// <summary>
    /// Replaces the policy of connects, by default a retry with exponential backoff and jitter, by a pipeline of strategies
    /// (Microsoft.Extensions.Resilience, Polly). It runs before a byte of a caller was written; exchanges are never repeated.
    /// </summary>
    /// <param name="configure">Adds strategies, such as a retry and a circuit breaker.</param>
    /// <returns>This builder.</returns>
    public ByteStreamClientBuilder UseResilience(Action<ResiliencePipelineBuilder, IServiceProvider> configure)
    {
        ArgumentNullException.ThrowIfNull(configure);
        return Configure(options => options.Resilience = configure);
    }
}
