using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Hosting;

/// <summary>Settings of a connection builder that is an endpoint of the application's own Kestrel.</summary>
internal static class KestrelEndpoint
{
    /// <summary>
    /// Marks the endpoint as TLS for Kestrel. Only its own middleware does so: it is added after this library's, and skips connections that
    /// have an <c>ITlsConnectionFeature</c> already.
    /// </summary>
    public static void AnnounceTls(IConnectionBuilder builder)
    {
        // A KestrelServer without a web host has no services for it, and announces nothing.
        if (builder is ListenOptions endpoint && endpoint.ApplicationServices.GetService<IServiceProviderIsService>()?.IsService(typeof(IServer)) == true)
        {
            endpoint.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = _ => throw Http3() });
        }
    }

    /// <summary>Disables HTTP, so that Kestrel offers none by ALPN.</summary>
    public static void ServesNoHttp(IConnectionBuilder builder)
    {
        if (builder is ListenOptions endpoint)
        {
            endpoint.Protocols = HttpProtocols.None;
        }
    }

    /// <summary>The ALPN names of HTTP (RFC 7301) in order of preference; none if the endpoint serves no HTTP.</summary>
    /// <exception cref="NotSupportedException">The endpoint serves HTTP/3.</exception>
    public static IReadOnlyList<string> GetApplicationProtocols(IConnectionBuilder builder)
    {
        HttpProtocols protocols = (builder as ListenOptions)?.Protocols ?? HttpProtocols.None;
        if (protocols.HasFlag(HttpProtocols.Http3))
        {
            throw Http3();
        }

        return
        [
            .. protocols.HasFlag(HttpProtocols.Http2) ? ["h2"] : (string[])[],
            .. protocols.HasFlag(HttpProtocols.Http1) ? ["http/1.1"] : (string[])[],
        ];
    }

    private static NotSupportedException Http3() =>
        new("UseTls does not serve HTTP/3. Set the endpoint's Protocols to Http1AndHttp2, or use UseHttps.");
}
