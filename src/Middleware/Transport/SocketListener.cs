using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Transport;

/// <summary>
/// Accepts connections from a bound socket, until it is unbound. No error of an accept ends it: while descriptors or memory are
/// short it waits and tries again, with one log line a second (F11, F12).
/// </summary>
internal sealed class SocketListener : IConnectionListener
{
    /// <summary>
    /// The wait after an accept that found no descriptor or memory. Nothing tells when there is one again, so this is the time
    /// to notice it; ten tries a second cost nothing.
    /// </summary>
    private static readonly TimeSpan ShortageWait = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan LogInterval = TimeSpan.FromSeconds(1);

    private readonly Socket _socket;
    private readonly EndPoint _address;
    private readonly UnixSocketFile? _file;
    private readonly ByteStreamServerOptions _options;
    private readonly ILogger _logger;
    private readonly Func<CancellationToken, ValueTask<Socket>> _accept;
    private readonly CancellationTokenSource _unbound = new();
    private long _lastLog;
    private int _unlogged;
    private int _isUnbound;

    private SocketListener(
        Socket socket, EndPoint endPoint, UnixSocketFile? file, ByteStreamServerOptions options, ILogger logger,
        Func<CancellationToken, ValueTask<Socket>>? accept = null)
    {
        _socket = socket;
        _address = endPoint;
        _file = file;
        _options = options;
        _logger = logger;
        _accept = accept ?? _socket.AcceptAsync;
        EndPoint = endPoint;
    }

    /// <summary>The real address: with the port that was taken where 0 was asked for.</summary>
    public EndPoint EndPoint { get; }

    /// <summary>Binds an address; clients are refused until <see cref="Listen"/>.</summary>
    /// <param name="endPoint">The address.</param>
    /// <param name="options">The listener's options.</param>
    /// <param name="logger">Told about accept errors.</param>
    /// <param name="accept">Stands in for the socket's accept in tests that inject its errors.</param>
    /// <exception cref="IOException">It cannot be bound; the message names the address, the cause and the remedy.</exception>
    public static SocketListener Bind(
        EndPoint endPoint, ByteStreamServerOptions options, ILogger logger, Func<CancellationToken, ValueTask<Socket>>? accept = null)
    {
        var socket = new Socket(
            endPoint.AddressFamily, SocketType.Stream, endPoint is UnixDomainSocketEndPoint ? ProtocolType.Unspecified : ProtocolType.Tcp);
        try
        {
            if (endPoint is UnixDomainSocketEndPoint path)
            {
                UnixSocketFile? file = UnixSocketFile.Bind(socket, path, options);
                return new SocketListener(socket, path, file, options, logger, accept);
            }

            Prepare(socket, endPoint, options);
            BindOrExplain(socket, endPoint);
            return new SocketListener(socket, socket.LocalEndPoint!, null, options, logger, accept);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Takes over a socket that somebody else has bound, as systemd does. Its file is never removed (U2).</summary>
    public static SocketListener Adopt(Socket socket, ByteStreamServerOptions options, ILogger logger) =>
        new(socket, socket.LocalEndPoint ?? throw new ArgumentException("The socket is not bound; bind it first.", nameof(socket)), null, options, logger);

    /// <summary>Clients can connect from now on.</summary>
    public void Listen() => _socket.Listen(_options.Backlog);

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        while (!_unbound.IsCancellationRequested)
        {
            try
            {
                Socket accepted = await _accept(_unbound.Token).ConfigureAwait(false);
                if (TryConnect(accepted) is ConnectionContext connection)
                {
                    return connection;
                }
            }
            catch (OperationCanceledException)
            {
                return null;
            }
            catch (ObjectDisposedException)
            {
                return null;
            }
            catch (SocketException) when (_unbound.IsCancellationRequested)
            {
                return null;
            }
            catch (SocketException error)
            {
                Log(error);
                // A client that left before it was accepted is no reason to wait; a shortage is.
                if (error.SocketErrorCode is not (SocketError.ConnectionAborted or SocketError.ConnectionReset or SocketError.Interrupted))
                {
                    await Task.Delay(ShortageWait, _options.TimeProvider, _unbound.Token)
                        .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                }
            }
        }

        return null;
    }

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        if (Interlocked.Exchange(ref _isUnbound, 1) == 0)
        {
            // The file goes first: a client that finds it finds a listener.
            _file?.Remove();
            _unbound.Cancel();
            _socket.Dispose();
        }

        return default;
    }

    public ValueTask DisposeAsync() => UnbindAsync();

    private static void Prepare(Socket socket, EndPoint endPoint, ByteStreamServerOptions options)
    {
        if (options.ReuseAddress && !OperatingSystem.IsWindows())
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        }

        if (options.ReusePort)
        {
            NativeSocket.SetReusePort(socket);
        }

        if (endPoint is IPEndPoint { AddressFamily: AddressFamily.InterNetworkV6 } ip)
        {
            socket.DualMode = !options.IPv6Only && ip.Address.Equals(IPAddress.IPv6Any);
        }

        // Accepted sockets inherit both, and a receive buffer counts for the window only if it is set before the handshake.
        SocketOptions.SetBuffers(socket, options);
    }

    private static void BindOrExplain(Socket socket, EndPoint endPoint)
    {
        try
        {
            socket.Bind(endPoint);
        }
        catch (SocketException error)
        {
            throw error.SocketErrorCode switch
            {
                SocketError.AddressAlreadyInUse => new AddressInUseException(
                    $"{endPoint} cannot be bound: the port is already in use. Stop the other program, or use another port.", error),
                SocketError.AddressNotAvailable => new IOException(
                    $"{endPoint} cannot be bound: this machine has no such address. Use one of its own, or 0.0.0.0 or [::].", error),
                SocketError.AccessDenied => new IOException(
                    $"{endPoint} cannot be bound: permission is denied. Ports below 1024 usually need a privilege (CAP_NET_BIND_SERVICE); use a higher one.", error),
                _ => new IOException($"{endPoint} cannot be bound: {error.Message}.", error),
            };
        }
    }

    /// <summary>Makes the connection; null for a client that has left already.</summary>
    private ChannelConnection? TryConnect(Socket accepted)
    {
        try
        {
            SocketOptions.Apply(accepted, _options);
            (EndPoint? local, EndPoint? remote) = _address is UnixDomainSocketEndPoint
                ? (_address, null)
                : (accepted.LocalEndPoint, accepted.RemoteEndPoint);
            return new ChannelConnection(new SocketChannel(accepted), Plain(local), Plain(remote), _options);
        }
        catch (SocketException)
        {
            // Connected and gone, as a port scan does: nothing to tell anybody (S9).
            accepted.Dispose();
            return null;
        }
    }

    /// <summary>An IPv4 client of a dual-mode listener is shown with its IPv4 address, as everybody writes it.</summary>
    private static EndPoint? Plain(EndPoint? endPoint) =>
        endPoint is IPEndPoint { Address.IsIPv4MappedToIPv6: true } mapped ? new IPEndPoint(mapped.Address.MapToIPv4(), mapped.Port) : endPoint;

    private void Log(SocketException error)
    {
        long now = _options.TimeProvider.GetTimestamp();
        _unlogged++;
        if (_lastLog == 0 || _options.TimeProvider.GetElapsedTime(_lastLog, now) >= LogInterval)
        {
            TransportLog.AcceptFailed(_logger, EndPoint.ToString(), error.SocketErrorCode, error.Message, _unlogged);
            _lastLog = now;
            _unlogged = 0;
        }
    }
}
