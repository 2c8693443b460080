using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using ByteStreams.Transport.Unix;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Transport.Sockets;

/// <summary>
/// Accepts connections from a bound socket until it is unbound. No accept error stops it: without a free descriptor or memory it waits and
/// retries, with one log line a second (F12). A client whose descriptor is at or above the stop of its use is reset at once, because in the
/// backlog it would wait without an answer (F11).
/// </summary>
internal sealed class SocketListener : IBoundListener
{
    /// <summary>
    /// The wait after an accept without a free descriptor or memory. No event reports a free one; ten attempts a second cost little.
    /// </summary>
    private static readonly TimeSpan ShortageWait = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// The clients in a row that may disconnect before the accept without a wait, which would let them delay other clients. After more of
    /// them the cause is the system and not the clients.
    /// </summary>
    private const int LeftInARow = 100;

    private static readonly TimeSpan LogInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan BlockedLogInterval = TimeSpan.FromMinutes(1);

    /// <summary>The interval between two checks of the backlog of a listener that is being closed.</summary>
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
    private volatile ByteStreamListenOptions _options;
    private volatile Acceptance? _acceptance;

    private SocketListener(
        Socket socket, EndPoint endPoint, UnixSocketFile? file, ByteStreamListenOptions options, ILogger logger,
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

    /// <summary>The bound address, with the port that the system chose for port 0.</summary>
    public EndPoint EndPoint { get; }

    public ListenAddress Address { get; private init; }

    /// <summary>The listening socket, for tests of its options.</summary>
    internal Socket Socket => _socket;

    /// <summary>The options of connections that are accepted from now on.</summary>
    public ByteStreamListenOptions Options => _options;

    /// <summary>Fires when the listener is unbound.</summary>
    public CancellationToken Unbound => _unbound.Token;

    public bool IsReachable => _file?.IsOwn ?? true;

    private SocketOwnership Ownership { get; init; }

    /// <summary>The endpoint's name in metrics.</summary>
    private string Label => _options.Name ?? EndPoint.ToString()!;

    /// <summary>Binds an address; clients are refused until <see cref="Listen"/>.</summary>
    /// <param name="endPoint">The address.</param>
    /// <param name="options">The listener's options.</param>
    /// <param name="logger">Logs accept errors.</param>
    /// <param name="accept">Replaces the socket's accept, for tests of its errors.</param>
    /// <param name="ipv6Only">Restricts <c>[::]</c> to IPv6, regardless of the options.</param>
    /// <param name="shared">Whether an overlapping listener shares the port (<see cref="Share"/>).</param>
    /// <exception cref="IOException">It cannot be bound; the message names the address, the cause and the remedy.</exception>
    public static SocketListener Bind(
        EndPoint endPoint, ByteStreamListenOptions options, ILogger logger, Func<CancellationToken, ValueTask<SocketByteChannel?>>? accept = null,
        bool ipv6Only = false, bool shared = false)
    {
        Socket socket = SocketBinding.Open(endPoint, options);
        try
        {
            if (endPoint is UnixDomainSocketEndPoint path)
            {
                if (OperatingSystem.IsLinux())
                {
                    _ = PassedDescriptors.Refuse((int)socket.Handle);
                }

                UnixSocketFile? file = UnixSocketFile.Bind(socket, path, options);
                return new SocketListener(socket, path, file, options, logger, accept)
                {
                    Ownership = file is null ? SocketOwnership.Descriptor : SocketOwnership.Socket,
                    Address = new ListenAddress(path, IsDualMode: false),
                };
            }

            ListenAddress address = ListenAddress.From(endPoint, options, ipv6Only);
            EndPoint bound = SocketBinding.Bind(socket, address, options, shared);
            return new SocketListener(socket, bound, null, options, logger, accept) { Address = address with { EndPoint = bound } };
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Takes over a socket that is bound.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="options">The listener's options.</param>
    /// <param name="logger">Logs accept errors.</param>
    /// <param name="ownership">What is closed when the listener is unbound: by default the descriptor, as for a socket that systemd handed over (U2).</param>
    public static SocketListener Adopt(Socket socket, ByteStreamListenOptions options, ILogger logger, SocketOwnership ownership = SocketOwnership.Descriptor)
    {
        if (socket.SocketType != SocketType.Stream || socket.Connected)
        {
            throw new ArgumentException("A bound stream socket is needed that is not connected.", nameof(socket));
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
            throw SocketBinding.Explain(error, _address, "listened on");
        }

        _file?.EnsureOwn();
        _acceptance = new Acceptance(TransportEngine.For(_options).Accept(_socket, _options));
    }

    /// <summary>
    /// Changes the options of a listener while clients connect to it: those of the socket, of the file, and of connections that are accepted
    /// from now on. The address, and whether <c>[::]</c> accepts IPv4, stay.
    /// </summary>
    /// <exception cref="IOException">The file's mode or group cannot be set. Some options are changed; the caller can set the old ones again.</exception>
    public void Change(ByteStreamListenOptions options)
    {
        lock (_replacing)
        {
            if (_unbound.IsCancellationRequested)
            {
                return;
            }

            // Event loops need descriptors: what may fail comes before the old acceptance is disposed.
            TransportEngine engine = TransportEngine.For(options);
            _file?.Change(options);
            ListeningSocket.Change(_socket, _options, options);
            _options = options;
            if (_acceptance is not Acceptance before)
            {
                return;
            }

            _socket.Listen(options.Backlog);
            // The number of event loops is an option too. A pending accept continues on the new acceptance.
            before.Dispose();
            _acceptance = new Acceptance(engine.Accept(_socket, options));
        }
    }

    /// <summary>Sets whether another listener of this process may be bound to an overlapping address.</summary>
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
            // The time has elapsed, or the server has unbound the listener: clients in the backlog are reset.
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

                int blocking = acceptance?.BlockingThreads ?? 0;
                ConnectionCloseReason refusal = !_options.Descriptors.Allows(accepted.Number, _options.DescriptorUse) ? ConnectionCloseReason.RefusedDescriptors
                    : blocking > 0 ? ConnectionCloseReason.RefusedHandlersBlocked
                    : ConnectionCloseReason.None;
                if (refusal == ConnectionCloseReason.None)
                {
                    return new ChannelConnection(accepted, _address as UnixDomainSocketEndPoint, null, _options);
                }

                Refuse(accepted, refusal, blocking);
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
            // The file is removed first: a client that finds the file reaches a listener.
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
                    SocketBinding.Release(_socket);
                    break;
            }
        }

        return default;
    }

    public ValueTask DisposeAsync() => UnbindAsync();

    private ValueTask<SocketByteChannel?> AcceptOneAsync(Acceptance? acceptance) => _injected is not null
        ? _injected(_unbound.Token)
        : (acceptance ?? throw new InvalidOperationException("Call Listen before the first accept.")).AcceptAsync();

    /// <summary>Whether <see cref="Change"/> has replaced an acceptance. Waits for a change in progress.</summary>
    private bool IsReplaced(Acceptance? acceptance)
    {
        lock (_replacing)
        {
            return !_unbound.IsCancellationRequested && !ReferenceEquals(acceptance, _acceptance);
        }
    }

    /// <summary>Resets a connection that cannot be served now.</summary>
    private void Refuse(SocketByteChannel accepted, ConnectionCloseReason reason, int blocking)
    {
        accepted.Reset();
        _options.ListenerObserver?.ConnectionRefused(Label, reason);
        if (reason == ConnectionCloseReason.RefusedHandlersBlocked)
        {
            if (_blocked.Count() is > 0 and int blocked)
            {
                TransportLog.HandlersBlock(_logger, EndPoint.ToString(), blocked, blocking);
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
            _options.ListenerObserver?.AcceptFailed(Label, error.SocketErrorCode.ToString());
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

        public int BlockingThreads => acceptor.BlockingThreads;

        public ValueTask<SocketByteChannel?> AcceptAsync() => acceptor.AcceptAsync(_ended.Token);

        public void Dispose()
        {
            _ended.Cancel();
            acceptor.Dispose();
            _ended.Dispose();
        }
    }
}
