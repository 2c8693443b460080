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

/// <summary>Registers the Orleans backplane of <see cref="ByteStreamConnections"/>.</summary>
public static class ByteStreamsOrleansExtensions
{
    /// <summary>
    /// Adds a backplane that forwards messages of <see cref="ByteStreamConnections"/> to all hosts of an Orleans cluster. The application configures
    /// the silo with <c>UseOrleans</c>, before or after this call, with any clustering provider.
    /// </summary>
    /// <param name="builder">The builder that <c>AddByteStreams</c> returns.</param>
    /// <param name="configure">Sets options after the section <c>ByteStreams:Cluster</c> is applied; null for none.</param>
    /// <returns>The same builder. Another call adds only its <paramref name="configure"/>.</returns>
    /// <remarks>
    /// Handlers start when this host is a member of the cluster and has the groups of the other hosts; clients that connect earlier wait. The
    /// health check <c>AddHealthChecks().AddByteStreams()</c> fails until then, after an eviction, and while the membership store has no entry of
    /// this host. Options out of range throw an <see cref="EndpointConfigurationException"/>, and a missing silo an
    /// <see cref="InvalidOperationException"/>, when the services are resolved at the start.
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
        // GrainService logs each change of the Orleans ring at Information. The links do not use the ring.
        services.AddLogging(logging => logging.AddFilter(typeof(HostLinkService).FullName, LogLevel.Warning));
        // Orleans uses TryAdd for its handler, which may run before or after this call.
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
            ?? throw new InvalidOperationException("AddOrleansBackplane requires an Orleans silo in this application. Call UseOrleans on the host builder.");
        return new ClusterBackplane(
            self.SiloAddress,
            provider.GetRequiredService<ByteStreamClusterOptions>(),
            // Created at the first call, because it needs the silo's services, which depend on the backplane.
            new LazyTransport(provider.GetRequiredService<HostLinkClient>),
            provider.GetRequiredService<ClusterMetrics>(),
            provider.GetService<ConnectionTotal>(),
            provider.GetRequiredService<ILogger<ClusterBackplane>>());
    }

    private sealed record ConfigureCluster(Action<ByteStreamClusterOptions> Configure);

    private sealed class LazyTransport(Func<HostLinkClient> make) : ILinkTransport
    {
        private readonly Lazy<HostLinkClient> _client = new(make);

        public Task<LinkReply> SendAsync(SiloAddress host, LinkBatch batch) => _client.Value.SendAsync(host, batch);

        public Task<IReadOnlyList<PresentConnection>> AskAsync(SiloAddress host, PresenceQuestion question) => _client.Value.AskAsync(host, question);
    }
}
