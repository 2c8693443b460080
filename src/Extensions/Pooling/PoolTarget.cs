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

    /// <summary>Sets TLS as the URL says, and the name that the certificate must have: an address of service discovery has none.</summary>
    public void ConfigureTls(ByteStreamClientOptions connection, string client)
    {
        if (!IsTls)
        {
            if (connection.Tls is not null)
            {
                throw new InvalidOperationException(
                    $"Client '{client}': Tls is set, but the URL is not tls://. Write tls:// in the URL, or do not set Tls.");
            }

            return;
        }

        connection.Tls ??= new SslClientAuthenticationOptions();
        if (string.IsNullOrEmpty(connection.Tls.TargetHost))
        {
            connection.ServerHostName ??= Host;
        }
    }
}
