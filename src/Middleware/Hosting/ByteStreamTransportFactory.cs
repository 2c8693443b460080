using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using ByteStreams.Transport;
using ByteStreams.Transport.Memory;
using ByteStreams.Transport.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// This library's transports as Kestrel takes them: TCP, Unix sockets, inherited descriptors and memory, with half-close, a close that
/// loses no reply, and accept errors that do not burn a core. For programs that compose Kestrel, or open connections, without the pair.
/// </summary>
/// <remarks>
/// <c>services.AddByteStreamTransport()</c> registers it for the application's own Kestrel. Every connection has an
/// <see cref="IByteStreamTransportFeature"/>.
/// </remarks>
public sealed class ByteStreamTransportFactory : IConnectionListenerFactory, IConnectionListenerFactorySelector, IConnectionFactory
{
    private readonly ByteStreamServerOptions _listen;
    private readonly ByteStreamClientOptions _connect;
    private readonly Func<EndPoint, Socket>? _createBoundSocket;
    private readonly ILogger _logger;

    /// <summary>Makes the factory.</summary>
    /// <param name="listen">
    /// What listeners and accepted connections get: the transport's options and the limit, which bounds one receive. What belongs to
    /// a server of its own (<c>StartServing</c>, <c>Tls</c>, middleware) is not looked at. Null takes every default.
    /// </param>
    /// <param name="connect">What opened connections get; TLS is not looked at. Null takes every default.</param>
    /// <exception cref="ArgumentException">Options contradict each other; the message names them.</exception>
    public ByteStreamTransportFactory(ByteStreamServerOptions? listen = null, ByteStreamClientOptions? connect = null)
        : this(listen, connect, createBoundSocket: null)
    {
    }

    /// <param name="listen">As above.</param>
    /// <param name="connect">As above.</param>
    /// <param name="createBoundSocket">Binds the sockets of TCP, Unix and handle endpoints in place of this transport.</param>
    internal ByteStreamTransportFactory(ByteStreamServerOptions? listen, ByteStreamClientOptions? connect, Func<EndPoint, Socket>? createBoundSocket)
    {
        _createBoundSocket = createBoundSocket;
        _listen = (listen ?? new ByteStreamServerOptions()).Snapshot();
        _listen.FollowsKestrel = true;
        _connect = (connect ?? new ByteStreamClientOptions()).Snapshot();
        _logger = _listen.LoggerFactory.CreateLogger("ByteStreams.Transport");
    }

    /// <summary>
    /// Returns whether this transport listens on <paramref name="endpoint"/>: an <see cref="IPEndPoint"/>, a
    /// <see cref="UnixDomainSocketEndPoint"/>, a <see cref="FileHandleEndPoint"/> or an <see cref="InMemoryEndPoint"/>.
    /// </summary>
    /// <param name="endpoint">The endpoint.</param>
    /// <returns>Whether it does.</returns>
    public bool CanBind(EndPoint endpoint) => endpoint is IPEndPoint or UnixDomainSocketEndPoint or FileHandleEndPoint or InMemoryEndPoint;

    /// <summary>Binds and listens.</summary>
    /// <param name="endpoint">
    /// The endpoint. Port 0 takes a free one, which the listener's <c>EndPoint</c> reports. The socket of a
    /// <see cref="FileHandleEndPoint"/> is bound already, TCP or Unix whatever its <see cref="FileHandleType"/>; it stays open, and the
    /// file of a Unix socket stays, when the listener is disposed.
    /// </param>
    /// <param name="cancellationToken">Ignored: binding is immediate.</param>
    /// <returns>The listener.</returns>
    /// <exception cref="AddressInUseException">Another socket listens there.</exception>
    /// <exception cref="IOException">It cannot be bound; the message names the address, the cause and the remedy.</exception>
    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        IBoundListener listener = endpoint switch
        {
            InMemoryEndPoint memory => InMemoryListener.Bind(memory, _listen),
            IPEndPoint or UnixDomainSocketEndPoint or FileHandleEndPoint when _createBoundSocket is not null => BindByApplication(endpoint, _createBoundSocket),
            FileHandleEndPoint handle => AdoptHandle(handle),
            IPEndPoint or UnixDomainSocketEndPoint => SocketListener.Bind(endpoint, _listen, _logger),
            _ => throw new NotSupportedException(
                $"Nothing listens on a {endpoint.GetType().Name}; use an IPEndPoint, a UnixDomainSocketEndPoint, a FileHandleEndPoint or an InMemoryEndPoint."),
        };
        try
        {
            listener.Listen();
        }
        catch
        {
            await listener.DisposeAsync().ConfigureAwait(false);
            throw;
        }

        if (listener is SocketListener { Unbound: CancellationToken unbound })
        {
            unbound.UnsafeRegister(static log => ((IDisposable)log!).Dispose(), BufferLimit.Process.LogTo(_logger));
        }

        return listener;
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

    private SocketListener BindByApplication(EndPoint endpoint, Func<EndPoint, Socket> createBoundSocket)
    {
        try
        {
            return Adopt(createBoundSocket(endpoint), endpoint, endpoint is FileHandleEndPoint ? SocketOwnership.Descriptor : SocketOwnership.Socket);
        }
        catch (SocketException error) when (error.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            throw new AddressInUseException(
                $"{endpoint} cannot be bound: it is already in use. Stop the other program, or use another address.", error);
        }
    }

    private SocketListener Adopt(Socket socket, EndPoint endpoint, SocketOwnership ownership)
    {
        try
        {
            return SocketListener.Adopt(socket, _listen, _logger, ownership);
        }
        catch (Exception error) when (error is ArgumentException or SocketException)
        {
            if (ownership != SocketOwnership.None)
            {
                socket.Dispose();
            }

            throw new IOException($"{Describe(endpoint)} cannot be listened on: {error.Message}", error);
        }
    }

    /// <summary>Listens on the socket of a handle, which stays its owner's.</summary>
    private SocketListener AdoptHandle(FileHandleEndPoint endpoint)
    {
        bool isDuplicated = _listen.ResolvedEngine == ByteStreamEngine.Epoll;
        SafeSocketHandle? duplicate = null;
        Socket socket;
        try
        {
            if (isDuplicated)
            {
                duplicate = InheritedSockets.Duplicate(checked((int)endpoint.FileHandle))
                    ?? throw new IOException($"{Describe(endpoint)} cannot be listened on: {Marshal.GetLastPInvokeErrorMessage()}. Pass an open descriptor.");
                socket = new Socket(duplicate);
            }
            else
            {
                socket = SharedSockets.Get(checked((nint)endpoint.FileHandle));
            }
        }
        catch (Exception error) when (error is ArgumentException or OverflowException or SocketException)
        {
            duplicate?.Dispose();
            throw new IOException($"{Describe(endpoint)} cannot be listened on: {error.Message} Pass the descriptor of a bound stream socket.", error);
        }

        return Adopt(socket, endpoint, isDuplicated ? SocketOwnership.Descriptor : SocketOwnership.None);
    }

    private static string Describe(EndPoint endpoint) => endpoint is FileHandleEndPoint handle
        ? string.Create(CultureInfo.InvariantCulture, $"The handle {handle.FileHandle}")
        : endpoint.ToString()!;
}
