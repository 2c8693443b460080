using System.Net;
using System.Net.Sockets;
using ByteStreams.Connections;
using ByteStreams.Server;
using ByteStreams.Tls;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// A running service: its listeners and its clients, whose connections a Kestrel server runs. Source: asyncio's <c>Server</c>.
/// </summary>
/// <remarks>
/// All members may be called from any thread. <c>await using</c> stops it: handlers are requested to end through <c>stopping</c>, and those
/// that have not within <see cref="ByteStreamServerOptions.ShutdownTimeout"/> are aborted.
/// </remarks>
public sealed class ByteStreamServer : IAsyncDisposable
{
    /// <summary>
    /// The time that handlers whose connections were aborted have to return. Their reads and drains have failed already: a second
    /// is for clean-up code.
    /// </summary>
    private static readonly TimeSpan AbortGrace = TimeSpan.FromSeconds(1);

    /// <summary>The same after a second signal: the process is to exit within a second.</summary>
    private static readonly TimeSpan HurriedGrace = TimeSpan.FromMilliseconds(250);

    private readonly Lock _gate = new();
    private readonly ByteStreamServerOptions _options;
    private readonly ILogger _logger;
    private readonly ServerConnections _connections;
    private readonly ServerListeners _listeners;
    private EndpointLease? _lease;
    private Task? _starting;
    private Task? _end;
    private bool _isClosed;
    private bool _forever;

    private ByteStreamServer(ByteStreamDelegate clientConnected, ByteStreamServerOptions options)
    {
        _options = options;
        _logger = options.LoggerFactory.CreateLogger("ByteStreams.Server");
        _connections = new ServerConnections(options, _logger);
        _listeners = new ServerListeners(options, _connections, _logger);
        _connections.Exchange(Build(clientConnected, options));
    }

    /// <summary>The addresses listened on, each with its real port; empty once closed.</summary>
    public IReadOnlyList<EndPoint> EndPoints
    {
        get
        {
            lock (_gate)
            {
                return _isClosed ? [] : _listeners.EndPoints;
            }
        }
    }

    /// <summary>The listeners, also once closed.</summary>
    internal ServerListeners Listeners => _listeners;

    /// <summary>The middleware and the handler of each connection, and what they hold.</summary>
    private ServerPipeline Build(ByteStreamDelegate clientConnected, ByteStreamServerOptions options)
    {
        var handler = new ByteStreamConnectionHandler(clientConnected, options.Limit, options.LoggerFactory, options.Name);
        ConnectionDelegate inner = handler.OnConnectedAsync;
        if (options.Tls is not null)
        {
            inner = new TlsServerMiddleware(
                inner, handshake => handshake.Observe(options.Tls), options.Tls, ((ITlsSettingsSource)options).TlsSettings, limit: null, () => Label, ByteStreamMetrics.For(options),
                options.LoggerFactory.CreateLogger("ByteStreams.Tls")).OnConnectionAsync;
        }

        ConnectionDelegate built = options.Build(inner, out IReadOnlyList<IDisposable> owned, this);
        return new ServerPipeline(built, ConnectionMiddleware.LeadsToHandler(built), owned);
    }

    /// <summary>The name in metrics, also once closed: the configured one, else the addresses.</summary>
    internal string Label => _options.Name ?? _listeners.Addresses;

    /// <summary>Whether clients are accepted.</summary>
    public bool IsServing
    {
        get
        {
            lock (_gate)
            {
                return _starting is { IsCompletedSuccessfully: true } && !_isClosed;
            }
        }
    }

    /// <summary>The clients that are connected.</summary>
    internal int ClientCount => _connections.Count;

    /// <summary>
    /// Returns the connections that are open at this moment, newest first; the list does not change afterwards. A connection of it may end
    /// at any time. Thread-safe. Allocates a list: O(n) in the number of connections.
    /// </summary>
    /// <returns>The connections; empty if there is none.</returns>
    public IReadOnlyList<ConnectionContext> GetConnections() => [.. Clients];

    /// <summary>The clients' connections, for tests that look at their sockets.</summary>
    internal IEnumerable<ConnectionContext> Clients => _connections.Snapshot().Select(client => client.Connection);

    /// <summary>Accepts clients from now on. Not needed unless <see cref="ByteStreamServerOptions.StartServing"/> was false; twice is fine.</summary>
    /// <param name="cancellationToken">Ends the wait only, and not the start.</param>
    /// <returns>Done when clients are accepted.</returns>
    /// <exception cref="InvalidOperationException">The server is closed.</exception>
    /// <exception cref="AddressInUseException">Another program has taken an address since it was bound; the server is closed.</exception>
    public Task StartServingAsync(CancellationToken cancellationToken = default)
    {
        Task starting;
        lock (_gate)
        {
            if (_isClosed)
            {
                throw new InvalidOperationException("The server is closed; start a new one.");
            }

            cancellationToken.ThrowIfCancellationRequested();
            starting = _starting ??= StartAcceptingAsync();
        }

        return starting.WaitAsync(cancellationToken);
    }

    /// <summary>
    /// Serves until cancelled, then stops as <see cref="StopAsync(TimeSpan, CancellationToken)"/> does with
    /// <see cref="ByteStreamServerOptions.ShutdownTimeout"/>: <c>stopping</c> fires in every handler, and connections whose handlers have not
    /// ended by then are aborted.
    /// </summary>
    /// <param name="cancellationToken">Stops the server.</param>
    /// <returns>
    /// A task that ends cancelled when the server has stopped. If another caller closes the server, it completes when no client is left.
    /// </returns>
    /// <exception cref="InvalidOperationException">The server is closed, or is being served forever already.</exception>
    /// <exception cref="OperationCanceledException">The token fired, and the server has stopped.</exception>
    public async Task ServeForeverAsync(CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            if (_isClosed)
            {
                throw new InvalidOperationException("The server is closed; start a new one.");
            }

            if (_forever)
            {
                throw new InvalidOperationException("ServeForeverAsync is already at work on this server.");
            }

            _forever = true;
        }

        try
        {
            await StartServingAsync(CancellationToken.None).ConfigureAwait(false);
            await _connections.Gone.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (cancellationToken.IsCancellationRequested)
            {
                await StopAsync(_options.ShutdownTimeout, CancellationToken.None).ConfigureAwait(false);
            }
            else
            {
                await WaitClosedAsync(CancellationToken.None).ConfigureAwait(false);
            }
        }
        finally
        {
            lock (_gate)
            {
                _forever = false;
            }
        }

        cancellationToken.ThrowIfCancellationRequested();
    }

    /// <summary>Stops listening. Clients that are connected stay. A second call does nothing.</summary>
    public void Close()
    {
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }

            _isClosed = true;
        }

        _connections.Close();
        _listeners.Unbind();
        _connections.OnUnbound();
    }

    /// <summary>Closes each client's connection as its writer's <c>Close</c> does: what was written is delivered; readers see the end.</summary>
    public void CloseClients() => _connections.CloseAll();

    /// <summary>Resets each client's connection; what was not sent yet is lost.</summary>
    public void AbortClients() => _connections.AbortAll();

    /// <summary>Waits until the server is closed and no client is left, in either order.</summary>
    /// <param name="cancellationToken">Ends the wait only.</param>
    /// <returns>Done when it is.</returns>
    public async Task WaitClosedAsync(CancellationToken cancellationToken = default)
    {
        await _connections.Gone.WaitAsync(cancellationToken).ConfigureAwait(false);
        Task end;
        lock (_gate)
        {
            end = _end ??= EndAsync();
        }

        await end.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Stops the server gracefully: stops listening, fires <c>stopping</c> in every handler, and waits until the handlers have returned and
    /// what they wrote is delivered. Connections that are left when <paramref name="timeout"/> has passed are aborted; a handler that does
    /// not return within a second after that is abandoned, because it waits for something else than its connection.
    /// </summary>
    /// <param name="timeout">
    /// How long handlers have: zero aborts at once, <see cref="Timeout.InfiniteTimeSpan"/> waits until the last has returned.
    /// </param>
    /// <param name="cancellationToken">Ends the graceful part early, as the timeout does; the server stops all the same.</param>
    /// <returns>How it went: whether every connection ended by itself, and how many were aborted by this call. Never throws for a handler.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative.</exception>
    /// <example>
    /// <code>
    /// DrainReport report = await server.StopAsync(TimeSpan.FromSeconds(10));
    /// if (!report.IsClean)
    /// {
    ///     Console.Error.WriteLine($"{report.Aborted} connections were aborted.");
    /// }
    /// </code>
    /// </example>
    public async Task<DrainReport> StopAsync(TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        if (timeout != Timeout.InfiniteTimeSpan)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(timeout, TimeSpan.Zero);
        }

        using var late = new CancellationTokenSource(timeout, _options.TimeProvider);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        return await StopAsync(deadline.Token).ConfigureAwait(false);
    }

    /// <summary>
    /// Stops the server as <see cref="StopAsync(TimeSpan, CancellationToken)"/> does, with <see cref="ByteStreamServerOptions.ShutdownTimeout"/>.
    /// </summary>
    /// <returns>Done when no client is left, or its handler was abandoned.</returns>
    public async ValueTask DisposeAsync() => await StopAsync(_options.ShutdownTimeout).ConfigureAwait(false);

    /// <summary>
    /// The host's shutdown: stops listening, fires the handlers' stopping tokens, waits for them, and aborts the connections that are left at the
    /// deadline. A handler that does not return even then is abandoned: the stop ends.
    /// </summary>
    /// <param name="deadline">Fires at the deadline.</param>
    /// <param name="hurry">Fires when handlers have 250 ms left to clean up after that.</param>
    /// <returns>The connections that had to be aborted.</returns>
    internal async Task<DrainReport> StopAsync(CancellationToken deadline, CancellationToken hurry = default)
    {
        // The name before the close, which forgets the addresses.
        string name = _options.Name ?? string.Join(", ", EndPoints);
        Close();
        await _connections.RequestCloseAllAsync(deadline).ConfigureAwait(false);
        await _connections.Gone.WaitAsync(deadline).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        int left = ClientCount;
        if (left > 0)
        {
            _connections.LogAborted(name, left);
            _connections.AbortAll();
            await WaitGoneAsync(AbortGrace, hurry).ConfigureAwait(false);
        }

        if (_connections.Gone.IsCompleted)
        {
            await WaitClosedAsync(CancellationToken.None).ConfigureAwait(false);
            return new DrainReport(left, 0);
        }

        int abandoned = ClientCount;
        ServerLog.HandlersLeft(_logger, name, abandoned);
        // What the server holds is released when the last of them returns.
        _ = WaitClosedAsync(CancellationToken.None);
        return new DrainReport(left, abandoned);
    }

    /// <summary>Waits until no client is left: for so long, or for 250 ms from when <paramref name="hurry"/> fires.</summary>
    private async Task WaitGoneAsync(TimeSpan grace, CancellationToken hurry)
    {
        await _connections.Gone.WaitAsync(grace, _options.TimeProvider, hurry).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (hurry.IsCancellationRequested)
        {
            await _connections.Gone.WaitAsync(HurriedGrace, _options.TimeProvider, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Builds another pipeline, which <see cref="Reconfigure"/> puts into effect.</summary>
    /// <exception cref="ArgumentException">The options are not valid.</exception>
    internal ServerPipeline Prepare(ByteStreamDelegate clientConnected, ByteStreamServerOptions options) => Build(clientConnected, options.Snapshot());

    /// <summary>
    /// New connections are served by another pipeline from now on; those that are open go on as they began. The listeners stay as they
    /// are, whatever the options say of them.
    /// </summary>
    internal void Reconfigure(ServerPipeline pipeline) => _connections.Exchange(pipeline)?.Dispose();

    /// <summary>Fires the stopping token of each handler.</summary>
    internal void RequestCloseClients() => _connections.RequestCloseAll();

    /// <summary>A server without listeners, for <see cref="Listeners"/>.</summary>
    /// <exception cref="ArgumentException">The options are not valid.</exception>
    internal static ByteStreamServer Create(ByteStreamDelegate clientConnected, ByteStreamServerOptions options)
    {
        var server = new ByteStreamServer(clientConnected, options.Snapshot());
        server._lease = new EndpointLease(ByteStreamMetrics.For(server._options), server.Label);
        return server;
    }

    /// <summary>Accepts clients from all that listens, after <see cref="ServerListeners.ListenAsync"/>.</summary>
    internal void Accept()
    {
        lock (_gate)
        {
            _starting ??= Task.CompletedTask;
        }

        _listeners.Accept();
    }

    internal static async Task<ByteStreamServer> StartAsync(
        ByteStreamDelegate clientConnected, IReadOnlyList<EndPoint> endPoints, IReadOnlyList<Socket> sockets, ByteStreamServerOptions options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(clientConnected);
        cancellationToken.ThrowIfCancellationRequested();
        var server = new ByteStreamServer(clientConnected, options.Snapshot());
        try
        {
            server.BindAll(endPoints, sockets);
            if (options.StartServing)
            {
                await server.StartServingAsync(cancellationToken).ConfigureAwait(false);
            }

            return server;
        }
        catch
        {
            server.Close();
            server.AbortClients();
            await server.WaitClosedAsync(CancellationToken.None).ConfigureAwait(false);
            throw;
        }
    }

    private void BindAll(IReadOnlyList<EndPoint> endPoints, IReadOnlyList<Socket> sockets)
    {
        foreach (Socket socket in sockets)
        {
            _listeners.Bind(socket);
        }

        foreach (EndPoint endPoint in endPoints)
        {
            _listeners.Bind(endPoint, ListenAddress.IsBesideIPv4(endPoint, endPoints), shared: false);
        }

        // Without a configured name, the server has that of its addresses.
        _lease = new EndpointLease(ByteStreamMetrics.For(_options), Label);
    }

    private async Task StartAcceptingAsync()
    {
        try
        {
            await _listeners.ListenAsync().ConfigureAwait(false);
            _listeners.Accept();
        }
        catch
        {
            // A server that serves only some of its addresses would be a surprise.
            Close();
            throw;
        }
    }

    private async Task EndAsync()
    {
        if (_starting is not null)
        {
            await _starting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await _listeners.EndAsync().ConfigureAwait(false);
        _connections.Pipeline?.Dispose();
        _lease?.Dispose();
    }
}
