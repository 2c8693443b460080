using System.Net;
using System.Net.Sockets;
using ByteStreams;
using Microsoft.AspNetCore.Connections;

namespace StreamsHost.Admin;

/// <summary>
/// Listens for the HTTP side with the library's transport, which removes stale Unix socket files and does not spin without free descriptors.
/// An address that cannot be bound is an error of its configuration key.
/// </summary>
internal sealed class AdminTransport(ByteStreamTransportFactory transport) : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    public bool CanBind(EndPoint endpoint) => transport.CanBind(endpoint);

    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        try
        {
            return await transport.BindAsync(endpoint, cancellationToken);
        }
        catch (Exception error) when (error is AddressInUseException or IOException or SocketException or PlatformNotSupportedException or ArgumentException)
        {
            throw new EndpointConfigurationException([$"{AdminOptions.Section}:{nameof(AdminOptions.Url)}: {error.Message}"]);
        }
    }
}
