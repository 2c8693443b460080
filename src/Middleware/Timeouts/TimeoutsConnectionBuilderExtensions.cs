using ByteStreams;
using ByteStreams.Connections;
using ByteStreams.Timeouts;
using Microsoft.AspNetCore.Connections;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Closes connections of peers that take too long, on any connection builder.</summary>
public static class TimeoutsConnectionBuilderExtensions
{
    /// <summary>Closes connections of peers that take too long. Place it last, after TLS, so that plain bytes count.</summary>
    /// <typeparam name="TBuilder">Kestrel's <c>ListenOptions</c>, <see cref="ByteStreamServerOptions"/>, or any other.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="configure">Sets the times; a send stall of 60 s by default.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="ArgumentException">The options are not valid; thrown when the server starts.</exception>
    /// <example>
    /// <code>
    /// options.UseTimeouts(timeouts =&gt; timeouts.ReceiveIdle = TimeSpan.FromMinutes(5));
    /// </code>
    /// </example>
    public static TBuilder UseTimeouts<TBuilder>(this TBuilder builder, Action<TimeoutOptions>? configure = null)
        where TBuilder : IConnectionBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        var options = new TimeoutOptions();
        configure?.Invoke(options);
        builder.Use(next => Timeouts(next, options, builder));
        return builder;
    }

    internal static ConnectionDelegate Timeouts(ConnectionDelegate next, TimeoutOptions options, IConnectionBuilder builder)
    {
        options.Validate();
        if (options.IsEmpty)
        {
            return next;
        }

        return new TimeoutsMiddleware(next, new TimeoutLimits(options, Heartbeat.For(builder.Time()))).OnConnectionAsync;
    }
}
