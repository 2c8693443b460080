using System.Net.Security;

namespace ByteStreams.Pooling;

/// <summary>Where a pool connects to, parsed from its URL.</summary>
/// <param name="Endpoints">The addresses.</param>
/// <param name="IsTls">Whether the connections speak TLS.</param>
/// <param name="Host">The name of the host, the path of the Unix socket, or the name of the service.</param>
/// <param name="Port">The port; 0 without one.</param>
internal sealed record PoolTarget(IEndpointSource Endpoints, bool IsTls, string Host, int Port)
{
    /// <summary>Splits <c>tcp://name</c> or <c>tls://name:port</c> of a service.</summary>
    /// <returns>The error; null if the URL is valid.</returns>
    public static string? TryParseService(string url, out string scheme, out string host, out int port)
    {
        (scheme, host, port) = ("", "", 0);
        if (!Uri.TryCreate(url, UriKind.Absolute, out Uri? uri) || uri.Scheme is not ("tcp" or "tls") || uri.Host.Length == 0 || uri.PathAndQuery is not ("" or "/"))
        {
            return "is not the name of a service. Write tcp://name or tls://name, with a port if the service has no configured address.";
        }

        (scheme, host, port) = (uri.Scheme, uri.Host, Math.Max(uri.Port, 0));
        return null;
    }

    /// <summary>The options of TLS with the name that the certificate must have: an address of service discovery has none.</summary>
    public SslClientAuthenticationOptions? Tls(SslClientAuthenticationOptions? configured)
    {
        if (!IsTls)
        {
            return null;
        }

        SslClientAuthenticationOptions tls = configured ?? new SslClientAuthenticationOptions();
        if (string.IsNullOrEmpty(tls.TargetHost))
        {
            tls.TargetHost = Host;
        }

        return tls;
    }
}
