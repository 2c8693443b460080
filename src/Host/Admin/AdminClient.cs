using System.Net;

namespace StreamsHost.Admin;

/// <summary>Who asks, as logs name them.</summary>
internal static class AdminClient
{
    public static string Of(HttpContext context) => context.Connection.RemoteIpAddress is IPAddress address
        ? new IPEndPoint(address, context.Connection.RemotePort).ToString()
        : "a Unix socket";
}
