using System.Diagnostics.Metrics;
using ByteStreams;
using ByteStreams.Admission;
using ByteStreams.Cluster;
using ByteStreams.Cluster.Links;
using ByteStreams.Groups;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Orleans.Serialization;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Makes <see cref="ByteStreamConnections"/> reach the connections of all hosts of an Orleans cluster.</summary>
public static class ByteStreamsOrleansExtensions
{
    /// <summary>
    /// Sends what is sent to a connection, a user, a group or all to the other hosts too. The application configures the silo itself
    /// (<c>UseOrleans</c>, before or after this call), with the clustering provider of its choice.
    /// </summary>
    /// <param name="builder">The builder that <c>AddByteStreams</c> returns.</param>
    /// <param name="configure">Sets options, after the section <c>ByteStreams:Cluster</c> of the configuration.</param>
    /// <returns>The same builder. A second call only adds <paramref name="configure"/>.</returns>
    /// <remarks>
    /// Handlers of byte-stream endpoints run from the moment in which this host is in the cluster and knows the groups of the others; clients that
    /// connect before wait. The health check <c>AddHealthChecks().AddByteStreams()</c> fails until then, after an eviction, and when the
    /// membership store has lost this host.
    /// </remarks>
    /// <example>
    /// <code>
    /// builder.Host.UseOrleans(silo =&gt; silo.UseRedisClustering("redis:6379"));
    /// builder.Services.AddByteStreams().AddHandler&lt;Chat&gt;("chat").AddOrleansBackplane();
    /// </code>
    /// </example>
    public static ByteStreamsBuilder AddOrleansBackplane(this ByteStreamsBuilder builder, Action<ByteStreamClusterOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        IServiceCollection services = builder.Services;
        if (configure is not null)
        {
            services.AddSingleton(new ConfigureCluster(configure));
        }

        if (services.Any(service => service.ServiceType == typeof(ClusterBackplane)))
        {
            return builder;
        }

        services.AddSingleton(CreateOptions);
        services.AddSingleton(provider => new ClusterMetrics(provider.GetService<IMeterFactory>()));
        services.AddSingleton<HostLinkClient>();
        services.AddSingleton(CreateBackplane);
        services.AddSingleton<ByteStreamBackplane>(provider => provider.GetRequiredService<ClusterBackplane>());
        services.AddSingleton<MembershipWatch>();
        services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(provider => provider.GetRequiredService<MembershipWatch>());
        services.AddGrainService<HostLinkService>();
        // Orleans logs each change of its ring there, at Information; the links do not use the ring.
        services.AddLogging(logging => logging.AddFilter(typeof(HostLinkService).FullName, LogLevel.Warning));
        // Orleans adds its own only if there is none.
        services.Replace(ServiceDescriptor.Singleton<IFatalErrorHandler, EvictionHandler>());
        services.AddSerializer(serializer => serializer.AddAssembly(typeof(HostLinkService).Assembly));
        return builder;
    }

    private static ByteStreamClusterOptions CreateOptions(IServiceProvider provider)
    {
        var options = new ByteStreamClusterOptions { TimeProvider = provider.GetService<TimeProvider>() ?? TimeProvider.System };
        var errors = new List<string>();
        if (provider.GetService<IConfiguration>()?.GetSection(ByteStreamClusterOptions.Section) is IConfigurationSection section)
        {
            ClusterConfiguration.Apply(section, options, errors);
        }

        foreach (ConfigureCluster more in provider.GetServices<ConfigureCluster>())
        {
            more.Configure(options);
        }

        errors.AddRange(options.GetErrors());
        return errors.Count == 0 ? options : throw new EndpointConfigurationException(errors);
    }

    private static ClusterBackplane CreateBackplane(IServiceProvider provider)
    {
        ILocalSiloDetails self = provider.GetService<ILocalSiloDetails>()
            ?? throw new InvalidOperationException("AddOrleansBackplane needs a silo in this application: call UseOrleans on its host builder.");
        return new ClusterBackplane(
            self.SiloAddress,
            provider.GetRequiredService<ByteStreamClusterOptions>(),
            // Made at the first call: it needs the silo's services, which need the backplane.
            new LateTransport(provider.GetRequiredService<HostLinkClient>),
            provider.GetRequiredService<ClusterMetrics>(),
            provider.GetService<ConnectionTotal>(),
            provider.GetRequiredService<ILogger<ClusterBackplane>>());
    }

    private sealed record ConfigureCluster(Action<ByteStreamClusterOptions> Configure);

    private sealed class LateTransport(Func<HostLinkClient> make) : ILinkTransport
    {
        private readonly Lazy<HostLinkClient> _client = new(make);

        public Task<LinkReply> SendAsync(SiloAddress host, LinkBatch batch) => _client.Value.SendAsync(host, batch);

        public Task<IReadOnlyList<PresentConnection>> AskAsync(SiloAddress host, PresenceQuestion question) => _client.Value.AskAsync(host, question);
    }
}
