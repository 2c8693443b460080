using ByteStreams;
using ByteStreams.Connections;
using ByteStreams.Telemetry;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Reports connections, on any connection builder.</summary>
public static class TelemetryConnectionBuilderExtensions
{
    /// <summary>
    /// Counts connections in the meter <c>ByteStreams</c>, makes each an activity of the source <c>ByteStreams</c>, and logs one line
    /// when it has closed. Place it first, so that it counts the connections that other middleware refuses.
    /// </summary>
    /// <typeparam name="TBuilder">Kestrel's <c>ListenOptions</c>, <see cref="ByteStreamServerOptions"/>, or any other.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="configure">Sets what is reported; everything by default.</param>
    /// <returns>The same builder.</returns>
    public static TBuilder UseTelemetry<TBuilder>(this TBuilder builder, Action<TelemetryOptions>? configure = null)
        where TBuilder : IConnectionBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        var options = new TelemetryOptions();
        configure?.Invoke(options);
        builder.Use(next => Telemetry(next, options, builder));
        return builder;
    }

    internal static ConnectionDelegate Telemetry(ConnectionDelegate next, TelemetryOptions options, IConnectionBuilder builder)
    {
        ByteStreamMetrics metrics = ByteStreamMetrics.For(builder);
        if (options.Endpoint is string own && builder is IConnectionBuilderServices)
        {
            // The server keeps the counters of its own name.
            builder.Own(new EndpointLease(metrics, own));
        }

        string? name = options.Endpoint ?? builder.EndpointName();
        if (name is not null)
        {
            // Counters that are all zero are reported from now on.
            metrics.Endpoint(name);
        }

        Func<string> label = builder.EndpointLabel();
        string? handlerName = builder.HandlerName();
        TimeProvider time = builder.Time();
        ILogger logger = builder.Logger("ByteStreams.Connection");
        // At the first connection and not now: the counters of a server that ends may be forgotten between the build of the next one's pipeline and
        // its lease.
        return new TelemetryMiddleware(
            next, () => new TelemetryReporter(metrics.Endpoint(name ?? label()), handlerName, time, options, metrics, logger), metrics).OnConnectionAsync;
    }
}
