using ByteStreams;
using ByteStreams.Connections;
using ByteStreams.ProxyProtocol;
using Microsoft.AspNetCore.Connections;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Receives PROXY headers on any connection builder.</summary>
public static class ProxyProtocolConnectionBuilderExtensions
{
    /// <summary>
    /// Requires a PROXY header (version 1 or 2) at the beginning of every connection, and makes the client that it names the
    /// connection's <c>RemoteEndPoint</c>; the rest is on <see cref="IProxyProtocolFeature"/>. Place it before TLS.
    /// </summary>
    /// <typeparam name="TBuilder">Kestrel's <c>ListenOptions</c>, <see cref="ByteStreamServerOptions"/>, or any other.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="configure">Sets the options: at least the trusted networks.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="ArgumentException">The options are not valid; thrown when the server starts.</exception>
    /// <example>
    /// <code>
    /// options.UseProxyProtocol(proxy =&gt; proxy.TrustedNetworks.Add("10.0.0.0/8"));
    /// </code>
    /// </example>
    public static TBuilder UseProxyProtocol<TBuilder>(this TBuilder builder, Action<ProxyProtocolOptions> configure)
        where TBuilder : IConnectionBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(configure);
        var options = new ProxyProtocolOptions();
        configure(options);
        builder.Use(next => ProxyProtocol(next, options, builder));
        return builder;
    }

    internal static ConnectionDelegate ProxyProtocol(ConnectionDelegate next, ProxyProtocolOptions options, IConnectionBuilder builder) =>
        new ProxyProtocolMiddleware(next, options, builder.Time(), builder.Logger("ByteStreams.ProxyProtocol")).OnConnectionAsync;
}
