using System.Net;

namespace ByteStreams.Pooling;

/// <summary>The addresses of a service.</summary>
internal interface IEndpointSource
{
    /// <summary>Returns the address of the next connect attempt.</summary>
    ValueTask<EndPoint> NextAsync(CancellationToken cancellationToken);
}
