using ByteStreams;
using ByteStreams.Hosting;
using ByteStreams.Connections;
using ByteStreams.Tls;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Speaks TLS, on any connection builder.</summary>
public static class TlsConnectionBuilderExtensions
{
    /// <summary>
    /// Speaks TLS with every client: certificates by name, client certificates with rules, files that are watched. Half-close is
    /// close_notify, and each close sends it.
    /// </summary>
    /// <remarks>
    /// On an endpoint of the application's own Kestrel it takes the place of <c>UseHttps</c>: the address is announced as
    /// <c>https://</c>, <c>Request.Scheme</c> is https, clients' certificates are in <c>HttpContext.Connection</c>, and where
    /// <see cref="TlsServerOptions.ApplicationProtocols"/> is empty, the endpoint's <c>Protocols</c> are offered by ALPN. HTTP/3 needs
    /// <c>UseHttps</c>.
    /// </remarks>
    /// <typeparam name="TBuilder">Kestrel's <c>ListenOptions</c>, <see cref="ByteStreamServerOptions"/>, or any other.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="configure">Sets the options: at least a certificate.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="NotSupportedException">The endpoint's <c>Protocols</c> contain HTTP/3; thrown when the server starts.</exception>
    /// <exception cref="ArgumentException">The options are not valid, or a file cannot be used; thrown when the server starts.</exception>
    /// <example>
    /// <code>
    /// options.UseTls(tls =&gt; tls.Certificates.Add(new() { Path = "server.pem", KeyPath = "server.key" }));
    /// </code>
    /// </example>
    public static TBuilder UseTls<TBuilder>(this TBuilder builder, Action<TlsServerOptions> configure)
        where TBuilder : IConnectionBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(configure);
        var options = new TlsServerOptions();
        configure(options);
        if (builder is ByteStreamServerOptions server)
        {
            server.UsedTls = options;
        }

        builder.Use(next => Tls(next, options, builder));
        KestrelEndpoint.AnnounceTls(builder);
        return builder;
    }

    internal static ConnectionDelegate Tls(ConnectionDelegate next, TlsServerOptions options, IConnectionBuilder builder)
    {
        options.Validate();
        ILogger logger = builder.Logger("ByteStreams.Tls");
        TimeProvider time = builder.Time();
        ByteStreamMetrics metrics = ByteStreamMetrics.For(builder);
        var store = new CertificateStore(options, builder.EndpointName() ?? "-", metrics, time, logger);
        builder.Own(store);
        var configured = new ConfiguredTls(options, store, KestrelEndpoint.GetApplicationProtocols(builder));
        var settings = new TlsSettings(options.HandshakeTimeout, options.ShutdownTimeout, time, options.RequireCloseNotify, options.MaxHandshakeSize);
        return new TlsServerMiddleware(
            next, configured.Options, options, settings, new TlsHandshakes(options.MaxHandshakes), builder.EndpointLabel(), metrics, logger).OnConnectionAsync;
    }
}
