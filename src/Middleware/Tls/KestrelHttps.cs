using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Tls;

/// <summary>Integrates <c>UseTls</c> with HTTP endpoints of the application's Kestrel. Other connection builders are left alone.</summary>
internal static class KestrelHttps
{
    /// <summary>
    /// Marks the endpoint as HTTPS. Only Kestrel's middleware can do so: it is added after this library's, and forwards every connection that
    /// already has an <c>ITlsConnectionFeature</c>.
    /// </summary>
    public static void Announce(IConnectionBuilder builder)
    {
        // A KestrelServer without a web host lacks the services of UseHttps, and has no announced address.
        if (builder is ListenOptions endpoint && endpoint.ApplicationServices.GetService<IServiceProviderIsService>()?.IsService(typeof(IServer)) == true)
        {
            endpoint.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = _ => throw Http3NotSupported() });
        }
    }

    /// <summary>Returns the ALPN names of the endpoint's HTTP versions (RFC 7301) in order of preference; none without HTTP.</summary>
    /// <exception cref="NotSupportedException">The endpoint serves HTTP/3.</exception>
    public static IReadOnlyList<string> GetApplicationProtocols(IConnectionBuilder builder)
    {
        HttpProtocols protocols = (builder as ListenOptions)?.Protocols ?? HttpProtocols.None;
        if (protocols.HasFlag(HttpProtocols.Http3))
        {
            throw Http3NotSupported();
        }

        return
        [
            .. protocols.HasFlag(HttpProtocols.Http2) ? ["h2"] : (string[])[],
            .. protocols.HasFlag(HttpProtocols.Http1) ? ["http/1.1"] : (string[])[],
        ];
    }

    private static NotSupportedException Http3NotSupported() =>
        new("UseTls does not support HTTP/3. Set the endpoint's Protocols to Http1AndHttp2, or use UseHttps.");
}
