using System.Net;
using Microsoft.Extensions.ServiceDiscovery;

namespace ByteStreams.Pooling;

/// <summary>The addresses that Microsoft.Extensions.ServiceDiscovery has for a service, one after the other: a failed attempt is followed by the next address.</summary>
internal sealed class DiscoveredEndpoints(ServiceEndpointResolver resolver, string serviceName) : IEndpointSource
{
    private uint _next;

    public async ValueTask<EndPoint> NextAsync(CancellationToken cancellationToken)
    {
        ServiceEndpointSource source = await resolver.GetEndpointsAsync(serviceName, cancellationToken).ConfigureAwait(false);
        int count = source.Endpoints.Count;
        if (count == 0)
        {
            throw new IOException($"Service discovery has no address for '{serviceName}'. Configure Services:{serviceName[(serviceName.IndexOf("//", StringComparison.Ordinal) + 2)..]}, or name host and port in the URL.");
        }

        EndPoint endPoint = source.Endpoints[(int)(Interlocked.Increment(ref _next) % (uint)count)].EndPoint;
        return endPoint switch
        {
            UriEndPoint uri => new DnsEndPoint(uri.Uri.Host, uri.Uri.Port),
            DnsEndPoint { Port: 0 } name => throw new IOException($"Service discovery has the name {name.Host} for '{serviceName}', and no port. Add the port."),
            _ => endPoint,
        };
    }
}
