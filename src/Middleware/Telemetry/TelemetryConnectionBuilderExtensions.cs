using ByteStreams;
using ByteStreams.Hosting;
using ByteStreams.Telemetry;
using Microsoft.AspNetCore.Connections;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Tells about connections, on any connection builder.</summary>
public static class TelemetryConnectionBuilderExtensions
{
    /// <summary>
    /// Counts connections in the meter <c>ByteStreams</c>, makes each an activity of the source <c>ByteStreams</c>, and logs one line
    /// when it ends. Place it first, so that it sees the connections that others refuse.
    /// </summary>
    /// <typeparam name="TBuilder">Kestrel's <c>ListenOptions</c>, <see cref="ByteStreamServerOptions"/>, or any other.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="configure">Sets what is told; everything by default.</param>
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

    /// <summary>
    /// Logs the bytes that pass, in hexadecimal and as text: Debug, category <c>ByteStreams.Bytes</c>. For finding faults: it costs
    /// much, and shows what peers sent. Behind TLS it shows plain bytes, before it encrypted ones.
    /// </summary>
    /// <typeparam name="TBuilder">Kestrel's <c>ListenOptions</c>, <see cref="ByteStreamServerOptions"/>, or any other.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="mostBytes">How many bytes of one read or write are shown: 256 by default, 1 to 65,536.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="mostBytes"/> is out of its range.</exception>
    public static TBuilder UseByteLogging<TBuilder>(this TBuilder builder, int mostBytes = 256)
        where TBuilder : IConnectionBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentOutOfRangeException.ThrowIfLessThan(mostBytes, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(mostBytes, 65536);
        builder.Use(next => new ByteLoggingMiddleware(next, mostBytes, builder.Logger("ByteStreams.Bytes")).OnConnectionAsync);
        return builder;
    }

    internal static ConnectionDelegate Telemetry(ConnectionDelegate next, TelemetryOptions options, IConnectionBuilder builder)
    {
        ByteStreamMetrics metrics = ByteStreamMetrics.Of(builder);
        var server = builder as ByteStreamServerOptions;
        if (options.Endpoint is string name)
        {
            // The server keeps the counts of its own name.
            server?.Owns(new EndpointLease(metrics, name));
        }

        return new TelemetryMiddleware(
            next,
            options,
            options.Endpoint ?? builder.EndpointName(),
            builder.EndpointLabel(),
            server?.HandlerName,
            metrics,
            builder.Time(),
            builder.Logger("ByteStreams.Connection")).OnConnectionAsync;
    }
}
