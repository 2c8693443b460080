using System.Globalization;
using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.ServiceDiscovery;
using Polly;
using Polly.Registry;
using Polly.Retry;

namespace ByteStreams.Pooling;

/// <summary>Makes a pool of the application's services.</summary>
internal static class PoolFactory
{
    public static string ResilienceKey(string name) => $"ByteStreams.Client.{name}";

    public static ByteStreamPool Create(IServiceProvider provider, string name)
    {
        ByteStreamPoolOptions options = Options(provider, name);
        PoolTarget target = Target(provider, options);
        TimeProvider time = Time(provider);
        var loggers = provider.GetRequiredService<ILoggerFactory>();
        var connection = new ByteStreamClientOptions
        {
            ConnectTimeout = options.ConnectTimeout,
            TlsHandshakeTimeout = options.ConnectTimeout,
            TimeProvider = time,
            LoggerFactory = loggers,
            ApplicationServices = provider,
        };
        options.ConfigureConnection?.Invoke(connection);
        target.ConfigureTls(connection, name);
        ILogger logger = loggers.CreateLogger("ByteStreams.Client");
        var metrics = new ClientMetrics(provider.GetRequiredService<PoolMetrics>(), name, target);
        ResiliencePipeline resilience = provider.GetRequiredService<ResiliencePipelineProvider<string>>().GetPipeline(ResilienceKey(name));
        var connector = new PoolConnector(name, target, connection, resilience, metrics, time, logger);
        return new ByteStreamPool(name, options, connector, metrics, time, logger);
    }

    /// <summary>The policy of connects: the application's, or retries with exponential backoff and jitter.</summary>
    public static void ConfigureResilience(ResiliencePipelineBuilder pipeline, IServiceProvider provider, string name)
    {
        ByteStreamPoolOptions options = Options(provider, name);
        pipeline.TimeProvider = Time(provider);
        if (options.Resilience is not null)
        {
            options.Resilience(pipeline, provider);
        }
        else if (options.ConnectRetries > 0)
        {
            pipeline.AddRetry(new RetryStrategyOptions
            {
                ShouldHandle = static arguments => new(arguments.Outcome.Exception is Exception error && PoolConnector.IsTransient(error)),
                MaxRetryAttempts = options.ConnectRetries,
                BackoffType = DelayBackoffType.Exponential,
                UseJitter = true,
                Delay = options.RetryDelay,
                MaxDelay = options.MaxRetryDelay,
            });
        }
    }

    private static ByteStreamPoolOptions Options(IServiceProvider provider, string name) =>
        provider.GetRequiredService<IOptionsMonitor<ByteStreamPoolOptions>>().Get(name);

    private static TimeProvider Time(IServiceProvider provider) => provider.GetService<TimeProvider>() ?? TimeProvider.System;

    private static PoolTarget Target(IServiceProvider provider, ByteStreamPoolOptions options)
    {
        if (options.UsesServiceDiscovery)
        {
            PoolTarget.TryParseService(options.Url, out string scheme, out string host, out int port);
            string service = port > 0 ? string.Create(CultureInfo.InvariantCulture, $"{scheme}://{host}:{port}") : $"{scheme}://{host}";
            return new PoolTarget(new DiscoveredEndpoints(provider.GetRequiredService<ServiceEndpointResolver>(), service), scheme == "tls", host, port);
        }

        if (!EndpointUrl.TryParseTarget(options.Url, out EndpointUrl? url, out string? error))
        {
            // The options are valid, or this is not called.
            throw new InvalidOperationException($"Url '{options.Url}' {error}");
        }

        EndPoint endPoint = url.EndPoint ?? new DnsEndPoint(url.Host!, url.Port);
        return new PoolTarget(new FixedEndpoint(endPoint), url.IsTls, url.Host ?? url.ToString()["unix:".Length..], url.Port);
    }
}
