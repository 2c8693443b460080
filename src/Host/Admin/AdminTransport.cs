using System.Net;
using System.Net.Sockets;
using ByteStreams;
using Microsoft.AspNetCore.Connections;

namespace StreamsHost.Admin;

/// <summary>
/// Listens for the HTTP side through the library's own transport, which treats the file of a Unix socket with care and does not burn a core
/// when descriptors are short, and says of an address that cannot be bound which key is to be changed.
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
            throw new EndpointConfigurationException([$"{AdminTable.Section}:{nameof(AdminOptions.Url)}: {error.Message}"]);
        }
    }
}
