using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// This library's transports as Kestrel takes them: TCP, Unix sockets and memory, with half-close, a close that loses no reply,
/// and accept errors that do not burn a core. For whoever composes Kestrel, or opens connections, without the pair.
/// </summary>
/// <remarks>
/// <c>services.AddByteStreamTransport()</c> registers it for the application's own Kestrel. Every connection has an
/// <see cref="IByteStreamTransportFeature"/>.
/// </remarks>
public sealed class ByteStreamTransportFactory : IConnectionListenerFactory, IConnectionListenerFactorySelector, IConnectionFactory
{
    private readonly ByteStreamServerOptions _listen;
    private readonly ByteStreamClientOptions _connect;
    private readonly ILogger _logger;

    /// <summary>Makes the factory.</summary>
    /// <param name="listen">
    /// What listeners and accepted connections get: the transport's options and the limit, which bounds one receive. What belongs to
    /// a server of its own (<c>StartServing</c>, <c>Tls</c>, middleware) is not looked at. Null takes every default.
    /// </param>
    /// <param name="connect">What opened connections get; TLS is not looked at. Null takes every default.</param>
    /// <exception cref="ArgumentException">Options contradict each other; the message names them.</exception>
    public ByteStreamTransportFactory(ByteStreamServerOptions? listen = null, ByteStreamClientOptions? connect = null)
    {
        _listen = (listen ?? new ByteStreamServerOptions()).Snapshot();
        _listen.FollowsKestrel = true;
        _connect = (connect ?? new ByteStreamClientOptions()).Snapshot();
        _logger = _listen.LoggerFactory.CreateLogger("ByteStreams.Transport");
    }

    /// <summary>Whether this transport listens on <paramref name="endpoint"/>: an <see cref="IPEndPoint"/>, a <see cref="UnixDomainSocketEndPoint"/> or an <see cref="InMemoryEndPoint"/>.</summary>
    /// <param name="endpoint">The endpoint.</param>
    /// <returns>Whether it does.</returns>
    public bool CanBind(EndPoint endpoint) => endpoint is IPEndPoint or UnixDomainSocketEndPoint or InMemoryEndPoint;

    /// <summary>Binds and listens.</summary>
    /// <param name="endpoint">The endpoint; port 0 takes a free one, which the listener's <c>EndPoint</c> tells.</param>
    /// <param name="cancellationToken">Not looked at: binding is immediate.</param>
    /// <returns>The listener.</returns>
    /// <exception cref="AddressInUseException">Somebody else listens there.</exception>
    /// <exception cref="IOException">It cannot be bound; the message names the address, the cause and the remedy.</exception>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        IBoundListener listener = endpoint switch
        {
            InMemoryEndPoint memory => InMemoryListener.Bind(memory, _listen),
            IPEndPoint or UnixDomainSocketEndPoint => SocketListener.Bind(endpoint, _listen, _logger),
            _ => throw new NotSupportedException(
                $"Nothing listens on a {endpoint.GetType().Name}; use an IPEndPoint, a UnixDomainSocketEndPoint or an InMemoryEndPoint."),
        };
        listener.Listen();
        return new ValueTask<IConnectionListener>(listener);
    }

    /// <summary>Opens a connection, without TLS.</summary>
    /// <param name="endpoint">As for <see cref="BindAsync"/>, or a <see cref="DnsEndPoint"/>.</param>
    /// <param name="cancellationToken">Ends the attempt and closes every socket that it opened.</param>
    /// <returns>The connection. Disposing it closes it.</returns>
    /// <exception cref="SocketException">The connection failed.</exception>
    public ValueTask<ConnectionContext> ConnectAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        return ByteStreamClient.OpenAsync(endpoint, _connect, cancellationToken);
    }
}
