using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace ByteStreams.Hosting;

/// <summary>Configures an endpoint of the application's Kestrel. Other connection builders are left alone.</summary>
internal static class KestrelEndpoint
{
    /// <summary>Disables HTTP, so that Kestrel offers no HTTP version by ALPN.</summary>
    public static void DisableHttp(IConnectionBuilder builder)
    {
        if (builder is ListenOptions endpoint)
        {
            endpoint.Protocols = HttpProtocols.None;
        }
    }
}
