using ByteStreams;
using ByteStreams.Connections;
using ByteStreams.Tls;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Adds TLS to connection builders.</summary>
public static class TlsConnectionBuilderExtensions
{
    /// <summary>
    /// Requires TLS of every client: certificates by server name, client certificates with allow lists, certificate files that are reloaded.
    /// A half-close and a close send close_notify.
    /// </summary>
    /// <remarks>
    /// On an HTTP endpoint of the application's Kestrel it replaces <c>UseHttps</c>: the address is announced as <c>https://</c>,
    /// <c>Request.Scheme</c> is https, and client certificates are in <c>HttpContext.Connection</c>. If
    /// <see cref="TlsServerOptions.ApplicationProtocols"/> is empty, ALPN offers the endpoint's <c>Protocols</c>. HTTP/3 requires
    /// <c>UseHttps</c>.
    /// </remarks>
    /// <typeparam name="TBuilder">Kestrel's <c>ListenOptions</c>, <see cref="ByteStreamServerOptions"/>, or another connection builder.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="configure">Sets the options. A certificate is required.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="NotSupportedException">The endpoint's <c>Protocols</c> include HTTP/3; thrown when the server starts.</exception>
    /// <exception cref="ArgumentException">The options are not valid, or a file is unusable; thrown when the server starts.</exception>
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
        if (builder is ITlsEndpointBuilder endpoint)
        {
            endpoint.UsedTls = options;
        }

        builder.Use(next => Tls(next, options, builder));
        KestrelHttps.Announce(builder);
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
        var authenticator = new TlsServerAuthenticator(options, store, KestrelHttps.GetApplicationProtocols(builder));
        var settings = new TlsSettings(options.HandshakeTimeout, options.ShutdownTimeout, time, options.RequireCloseNotify, options.MaxHandshakeSize, options.Engine);
        TlsLog.EngineSelected(
            logger, builder.EndpointName() ?? "-", TlsEngines.UsesOpenSsl(options.Engine, authenticator.FindUnsupported) ? TlsEngine.OpenSsl : TlsEngine.SslStream);
        return new TlsServerMiddleware(
            next, authenticator.GetOptions, options, settings, new TlsHandshakeLimit(options.MaxHandshakes), builder.EndpointLabel(), metrics, logger).OnConnectionAsync;
    }
}
