using System.Net;

namespace ByteStreams.Pooling;

/// <summary>The address of a URL. The addresses of a host name are raced by each connect (RFC 8305).</summary>
internal sealed class FixedEndpoint(EndPoint endPoint) : IEndpointSource
{
    public ValueTask<EndPoint> NextAsync(CancellationToken cancellationToken) => new(endPoint);
}
