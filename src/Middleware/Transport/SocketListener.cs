using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Transport;

/// <summary>
/// Accepts connections from a bound socket, until it is unbound. No error of an accept ends it: where the system has no descriptor or
/// memory it waits and tries again, with one log line a second (F12). A client whose descriptor lies at or above the stop of its use
/// is reset at once: in the backlog it would wait without an answer (F11).
/// </summary>
internal sealed class SocketListener : IBoundListener
{
    /// <summary>
    /// The wait after an accept that found no descriptor or memory. Nothing tells when there is one again, so this is the time
    /// to notice it; ten tries a second cost nothing.
    /// </summary>
    private static readonly TimeSpan ShortageWait = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// So many clients in a row that left before they were accepted cost no wait, which would be theirs to inflict on the others;
    /// behind them it is the system that fails, and not clients.
    /// </summary>
    private const int LeftInARow = 100;

    private static readonly TimeSpan LogInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan BlockedLogInterval = TimeSpan.FromMinutes(1);

    /// <summary>Between two looks at the queue of a listener that ends.</summary>
    private static readonly TimeSpan QueueWait = TimeSpan.FromMilliseconds(1);

    private readonly Socket _socket;
    private readonly EndPoint _address;
    private readonly UnixSocketFile? _file;
    private readonly ILogger _logger;
    private readonly Func<CancellationToken, ValueTask<SocketByteChannel?>>? _injected;
    private readonly CancellationTokenSource _unbound = new();
    private readonly LogThrottle _failures;
    private readonly LogThrottle _refusals;
    private readonly LogThrottle _blocked;
    private int _left;
    private int _isUnbound;
    private readonly Lock _replacing = new();
    private volatile ByteStreamServerOptions _options;
    private volatile Acceptance? _acceptance;

    private SocketListener(
        Socket socket, EndPoint endPoint, UnixSocketFile? file, ByteStreamServerOptions options, ILogger logger,
        Func<CancellationToken, ValueTask<SocketByteChannel?>>? accept = null)
    {
        _socket = socket;
        _address = endPoint;
        _file = file;
        _options = options;
        _logger = logger;
        _injected = accept;
        _failures = new LogThrottle(options.TimeProvider, LogInterval);
        _refusals = new LogThrottle(options.TimeProvider, LogInterval);
        _blocked = new LogThrottle(options.TimeProvider, BlockedLogInterval);
        EndPoint = endPoint;
    }

    /// <summary>The real address: with the port that was taken where 0 was asked for.</summary>
    public EndPoint EndPoint { get; }

    public ListenAddress Address { get; private init; }

    /// <summary>What listens, for tests that look at its options.</summary>
    internal Socket Socket => _socket;

    /// <summary>The options of the connections that are accepted now.</summary>
    public ByteStreamServerOptions Options => _options;

    /// <summary>Fires when it takes no more connections.</summary>
    public CancellationToken Unbound => _unbound.Token;

    public bool IsReachable => _file?.IsOwn ?? true;

    private SocketOwnership Ownership { get; init; }

    /// <summary>The endpoint's name in metrics.</summary>
    private string Label => _options.Name ?? EndPoint.ToString()!;

    /// <summary>Binds an address; clients are refused until <see cref="Listen"/>.</summary>
    /// <param name="endPoint">The address.</param>
    /// <param name="options">The listener's options.</param>
    /// <param name="logger">Told about accept errors.</param>
    /// <param name="accept">Stands in for the socket's accept in tests that inject its errors.</param>
    /// <param name="ipv6Only">Leaves IPv4 alone on <c>[::]</c>, whatever the options say.</param>
    /// <param name="shared">Whether it is bound beside an overlapping listener that shares the port (<see cref="Share"/>).</param>
    /// <exception cref="IOException">It cannot be bound; the message names the address, the cause and the remedy.</exception>
    public static SocketListener Bind(
        EndPoint endPoint, ByteStreamServerOptions options, ILogger logger, Func<CancellationToken, ValueTask<SocketByteChannel?>>? accept = null,
        bool ipv6Only = false, bool shared = false)
    {
        // The runtime sets SO_REUSEADDR on whatever it binds as TCP. Its own option of that name would set SO_REUSEPORT as well, and
        // a port in use would be shared in silence; so the protocol, which the kernel chooses alike, makes the difference here.
        var socket = new Socket(
            endPoint.AddressFamily, SocketType.Stream,
            endPoint is UnixDomainSocketEndPoint || (!options.ReuseAddress && !OperatingSystem.IsWindows()) ? ProtocolType.Unspecified : ProtocolType.Tcp);
        try
        {
            if (endPoint is UnixDomainSocketEndPoint path)
            {
                UnixSocketFile? file = UnixSocketFile.Bind(socket, path, options);
                return new SocketListener(socket, path, file, options, logger, accept)
                {
                    Ownership = file is null ? SocketOwnership.Descriptor : SocketOwnership.Socket,
                    Address = new ListenAddress(path, IsDualMode: false),
                };
            }

            ListenAddress address = ListenAddress.From(endPoint, options, ipv6Only);
            Prepare(socket, address, options, shared);
            BindOrExplain(socket, endPoint);
            EndPoint bound = socket.LocalEndPoint!;
            return new SocketListener(socket, bound, null, options, logger, accept) { Address = address with { EndPoint = bound } };
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Listens on a socket that is bound already.</summary>
    /// <param name="socket">The socket; the listener disposes it.</param>
    /// <param name="options">The listener's options.</param>
    /// <param name="logger">Logs accept errors.</param>
    /// <param name="ownership">What is closed when the listener is unbound: by default the descriptor, as for a socket that systemd handed over (U2).</param>
    public static SocketListener Adopt(Socket socket, ByteStreamServerOptions options, ILogger logger, SocketOwnership ownership = SocketOwnership.Descriptor)
    {
        if (socket.SocketType != SocketType.Stream || socket.Connected)
        {
            throw new ArgumentException("A bound stream socket is needed, which is not connected.", nameof(socket));
        }

        EndPoint address = socket.LocalEndPoint ?? throw new ArgumentException("The socket is not bound; bind it first.", nameof(socket));
        SocketOptions.SetBuffers(socket, options);
        bool isDualMode = socket.AddressFamily == AddressFamily.InterNetworkV6 && socket.DualMode;
        return new SocketListener(socket, address, null, options, logger) { Ownership = ownership, Address = new ListenAddress(address, isDualMode) };
    }

    public void Listen()
    {
        try
        {
            _socket.Listen(_options.Backlog);
        }
        catch (SocketException error)
        {
            throw Explain(error, _address, "listened on");
        }

        _file?.EnsureOwn();
        _acceptance = new Acceptance(TransportEngine.For(_options).Accept(_socket, _options));
    }

    /// <summary>
    /// Changes the options of a listener while clients connect to it: those of the socket, of the file, and of the connections that are
    /// accepted from now on. The address, and whether <c>[::]</c> takes IPv4, stay.
    /// </summary>
    /// <exception cref="IOException">The file cannot be given its mode or group. Some of the options are changed: the old ones can be set again.</exception>
    public void Change(ByteStreamServerOptions options)
    {
        lock (_replacing)
        {
            if (_unbound.IsCancellationRequested)
            {
                return;
            }

            // Its loops need descriptors: what may fail comes before the old acceptance is ended.
            TransportEngine engine = TransportEngine.For(options);
            _file?.Change(options);
            ListeningSocket.Change(_socket, _options, options);
            _options = options;
            if (_acceptance is not Acceptance before)
            {
                return;
            }

            _socket.Listen(options.Backlog);
            // The loops that it is registered with are the options' too. An accept that waits goes on with the new one.
            before.Dispose();
            _acceptance = new Acceptance(engine.Accept(_socket, options));
        }
    }

    /// <summary>Lets another listener of this process be bound to an overlapping address, or does so no longer.</summary>
    public void Share(bool isShared) => ListeningSocket.Share(_socket, isShared || _options.ReusePort);

    public async Task EmptyAsync(TimeSpan within)
    {
        _file?.Remove(_logger);
        using var late = new CancellationTokenSource(within, _options.TimeProvider);
        try
        {
            ListeningSocket.RefuseNew(_socket);
            while (!_unbound.IsCancellationRequested && _socket.Poll(0, SelectMode.SelectRead))
            {
                await Task.Delay(QueueWait, _options.TimeProvider, late.Token).ConfigureAwait(false);
            }
        }
        catch (Exception over) when (over is OperationCanceledException or ObjectDisposedException)
        {
            // Too late, or unbound by its server meanwhile: the rest is reset.
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        while (!_unbound.IsCancellationRequested)
        {
            Acceptance? acceptance = _acceptance;
            try
            {
                SocketByteChannel? accepted = await AcceptOneAsync(acceptance).ConfigureAwait(false);
                _left = 0;
                if (accepted is null)
                {
                    continue;
                }

                ConnectionEndReason refusal = !_options.Descriptors.Allows(accepted.Number, _options.DescriptorUse) ? ConnectionEndReason.RefusedDescriptors
                    : acceptance is { IsBlocked: true } ? ConnectionEndReason.RefusedHandlersBlocked
                    : ConnectionEndReason.None;
                if (refusal == ConnectionEndReason.None)
                {
                    return new ChannelConnection(accepted, _address as UnixDomainSocketEndPoint, null, _options);
                }

                Refuse(accepted, refusal);
            }
            catch (Exception ended) when (ended is OperationCanceledException or ObjectDisposedException)
            {
                if (!IsReplaced(acceptance))
                {
                    return null;
                }
            }
            catch (SocketException) when (_unbound.IsCancellationRequested)
            {
                return null;
            }
            catch (SocketException error)
            {
                bool left = error.SocketErrorCode is SocketError.ConnectionAborted or SocketError.ConnectionReset or SocketError.Interrupted;
                Log(error, left);
                if (!left || ++_left > LeftInARow)
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
            _file?.Remove(_logger);
            _unbound.Cancel();
            lock (_replacing)
            {
                _acceptance?.Dispose();
            }

            switch (Ownership)
            {
                case SocketOwnership.Socket:
                    _socket.Dispose();
                    break;
                case SocketOwnership.Descriptor:
                    Release(_socket);
                    break;
            }
        }

        return default;
    }

    public ValueTask DisposeAsync() => UnbindAsync();

    /// <summary>
    /// Closes the descriptor of a socket. The runtime disconnects listening sockets and deletes by path what it bound itself when the
    /// <see cref="Socket"/> is disposed or finalized; its handle does neither.
    /// </summary>
    [SuppressMessage("Usage", "CA1816", Justification = "The finalizer is the socket's, and would delete a file that is not ours.")]
    private static void Release(Socket socket)
    {
        GC.SuppressFinalize(socket);
        socket.SafeHandle.Dispose();
    }

    private static void Prepare(Socket socket, ListenAddress address, ByteStreamServerOptions options, bool shared)
    {
        if (options.ReusePort || shared)
        {
            NativeSocket.SetReusePort(socket);
        }

        if (address.EndPoint.AddressFamily == AddressFamily.InterNetworkV6)
        {
            socket.DualMode = address.IsDualMode;
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
            throw Explain(error, endPoint, "bound");
        }
    }

    private static Exception Explain(SocketException error, EndPoint endPoint, string what) => error.SocketErrorCode switch
    {
        SocketError.AddressAlreadyInUse => new AddressInUseException(
            $"{endPoint} cannot be {what}: the port is already in use. "
            + (endPoint is IPEndPoint ip && OwnPorts.Contains(ip.Port)
                ? "This program listens on it itself, on another endpoint or its HTTP side: use another port."
                : "Stop the other program, or use another port."), error),
        SocketError.AddressNotAvailable => new IOException(
            $"{endPoint} cannot be {what}: this machine has no such address. Use one of its own, or 0.0.0.0 or [::].", error),
        SocketError.AccessDenied => new IOException(
            $"{endPoint} cannot be {what}: permission is denied. Ports below 1024 usually need a privilege (CAP_NET_BIND_SERVICE); use a higher one.", error),
        _ => new IOException($"{endPoint} cannot be {what}: {error.Message}.", error),
    };

    private ValueTask<SocketByteChannel?> AcceptOneAsync(Acceptance? acceptance) => _injected is not null
        ? _injected(_unbound.Token)
        : (acceptance ?? throw new InvalidOperationException("Listen comes before the first accept.")).AcceptAsync();

    /// <summary>Whether an acceptance has ended because <see cref="Change"/> has made another, which this waits for.</summary>
    private bool IsReplaced(Acceptance? acceptance)
    {
        lock (_replacing)
        {
            return !_unbound.IsCancellationRequested && !ReferenceEquals(acceptance, _acceptance);
        }
    }

    /// <summary>Resets a connection that cannot be served now. In the backlog its client would wait without an answer.</summary>
    private void Refuse(SocketByteChannel accepted, ConnectionEndReason reason)
    {
        accepted.Reset();
        _options.ListenerObserver.ConnectionRefused(Label, reason);
        if (reason == ConnectionEndReason.RefusedHandlersBlocked)
        {
            if (_blocked.Count() is > 0 and int blocked)
            {
                TransportLog.HandlersBlock(_logger, EndPoint.ToString(), blocked, BlockingHandlers.Shared.Count);
            }
        }
        else if (_refusals.Count() is > 0 and int count)
        {
            TransportLog.DescriptorsShort(_logger, EndPoint.ToString(), count, _options.Descriptors.Most);
        }
    }

    private void Log(SocketException error, bool left)
    {
        if (!left)
        {
            _options.ListenerObserver.AcceptFailed(Label, error.SocketErrorCode.ToString());
        }

        int count = _failures.Count();
        if (count == 0)
        {
            return;
        }

        if (left)
        {
            TransportLog.ClientLeft(_logger, EndPoint.ToString(), error.SocketErrorCode, error.Message, count);
        }
        else
        {
            TransportLog.AcceptFailed(_logger, EndPoint.ToString(), error.SocketErrorCode, error.Message, count);
        }
    }

    /// <summary>An engine's acceptor, until it is replaced or the listener is unbound.</summary>
    private sealed class Acceptance(IAcceptor acceptor) : IDisposable
    {
        private readonly CancellationTokenSource _ended = new();

        public bool IsBlocked => acceptor.IsBlocked;

        public ValueTask<SocketByteChannel?> AcceptAsync() => acceptor.AcceptAsync(_ended.Token);

        public void Dispose()
        {
            _ended.Cancel();
            acceptor.Dispose();
            _ended.Dispose();
        }
    }
}
