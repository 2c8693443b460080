using ByteStreams;
using ByteStreams.Connections;
using ByteStreams.ProxyProtocol;
using Microsoft.AspNetCore.Connections;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Adds the PROXY protocol to connection builders.</summary>
public static class ProxyProtocolConnectionBuilderExtensions
{
    /// <summary>
    /// Requires a PROXY header (version 1 or 2) at the start of every connection. Its source address becomes the connection's
    /// <c>RemoteEndPoint</c>; the whole header is on <see cref="IProxyProtocolFeature"/>. Call it before <c>UseTls</c>.
    /// </summary>
    /// <typeparam name="TBuilder">Kestrel's <c>ListenOptions</c>, <see cref="ByteStreamServerOptions"/>, or another connection builder.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="configure">Sets the options. The trusted networks are required.</param>
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
