using System.Net;
using System.Net.Sockets;
using ByteStreams.Connections;
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
public sealed partial class ByteStreamServer : IAsyncDisposable, IConnectionOwner
{
    /// <summary>
    /// The time that handlers whose connections were aborted have to return. Their reads and drains have failed already: a second
    /// is for clean-up code, and short of the patience of whoever sends a second signal.
    /// </summary>
    private static readonly TimeSpan AbortGrace = TimeSpan.FromSeconds(1);

    /// <summary>The same for whoever has sent the second signal: the process is to be gone within a second.</summary>
    private static readonly TimeSpan HurriedGrace = TimeSpan.FromMilliseconds(250);

    /// <summary>So many connections that are cut at the deadline have a line of their own in the log: enough to see what they have in common.</summary>
    private const int CutInDetail = 20;

    /// <summary>Clients that are requested to close at once.</summary>
    private const int CloseBatch = 500;

    /// <summary>The time that such a batch has before the next: 10,000 clients a second.</summary>
    private static readonly TimeSpan CloseBatchTime = TimeSpan.FromMilliseconds(50);

    private readonly Lock _gate = new();
    private readonly ByteStreamServerOptions _options;
    private readonly ILogger _logger;
    private volatile ServerPipeline _pipeline;
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _gone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task? _starting;
    private Task? _end;

    private readonly ConnectionList _clients = new(isOwners: true);
    private bool _isClosed;
    private EndpointLease? _lease;
    private bool _forever;
    private volatile bool _stopping;

    private ByteStreamServer(ByteStreamDelegate clientConnected, ByteStreamServerOptions options)
    {
        _options = options;
        _logger = options.LoggerFactory.CreateLogger("ByteStreams.Server");
        _pipeline = Build(clientConnected, options);
    }

    /// <summary>What runs for each connection: middleware and handler; and what they hold.</summary>
    private ServerPipeline Build(ByteStreamDelegate clientConnected, ByteStreamServerOptions options)
    {
        var handler = new ByteStreamConnectionHandler(clientConnected, options.Limit, options.LoggerFactory, options.Name);
        ConnectionDelegate inner = handler.OnConnectedAsync;
        if (options.Tls is not null)
        {
            inner = new TlsServerMiddleware(
                inner, attempt => attempt.Observe(options.Tls), options.Tls, TlsSettings.For(options), handshakes: null, () => Label, ByteStreamMetrics.For(options),
                options.LoggerFactory.CreateLogger("ByteStreams.Tls")).OnConnectionAsync;
        }

        ConnectionDelegate built = options.Build(inner, out IReadOnlyList<IDisposable> owned, this);
        return new ServerPipeline(built, ConnectionMiddleware.LeadsToHandler(built), owned);
    }

    /// <summary>The name in metrics, also once closed: the options' name, or else the addresses.</summary>
    internal string Label => _options.Name ?? _addresses;

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
    internal int ClientCount => _clients.Count;

    /// <summary>The clients' connections, for tests that look at their sockets.</summary>
    internal IEnumerable<ConnectionContext> Clients => ServerClients().Select(client => client.Connection);

    /// <summary>Accepts clients from now on. Not needed unless <see cref="ByteStreamServerOptions.StartServing"/> was false; twice is fine.</summary>
    /// <param name="cancellationToken">Ends the wait only: whoever else waits for the same start is not disturbed.</param>
    /// <returns>Done when clients are accepted.</returns>
    /// <exception cref="InvalidOperationException">The server is closed.</exception>
    /// <exception cref="AddressInUseException">Somebody else has taken an address since it was bound; the server is closed.</exception>
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
            await _gone.Task.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
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

    /// <summary>Stops listening. Clients that are connected stay. Twice is fine.</summary>
    public void Close()
    {
        AcceptLoop[] loops;
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }

            loops = [.. _loops];
            _isClosed = true;
        }

        foreach (AcceptLoop loop in loops)
        {
            loop.Unbind();
        }

        foreach (ConnectionState client in ServerClients())
        {
            if (client.SkipLinger())
            {
                RequestClose(client);
            }
        }

        _closed.TrySetResult();
        SignalIfGone();
    }

    /// <summary>Closes each client's connection as its writer's <c>Close</c> does: what was written is delivered; readers see the end.</summary>
    public void CloseClients()
    {
        foreach (ConnectionState client in ServerClients())
        {
            RequestClose(client);
            client.Close();
        }
    }

    /// <summary>Resets each client's connection; what was not sent yet is lost.</summary>
    public void AbortClients()
    {
        foreach (ConnectionState client in ServerClients())
        {
            // One for each: what throws an exception adds to its stack trace, and of one for all nobody would see the end.
            client.Link!.Abort(ConnectionEndReason.ServerShutdown, new ConnectionAbortedException("The server aborted its clients."));
        }
    }

    /// <summary>Waits until the server is closed and no client is left, in either order.</summary>
    /// <param name="cancellationToken">Ends the wait only.</param>
    /// <returns>Done when it is.</returns>
    public async Task WaitClosedAsync(CancellationToken cancellationToken = default)
    {
        await _gone.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
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
    /// not return within a second after that is left behind, because it waits for something else than its connection.
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
    /// <returns>Done when no client is left, or its handler was left behind.</returns>
    public async ValueTask DisposeAsync() => await StopAsync(_options.ShutdownTimeout).ConfigureAwait(false);

    /// <summary>
    /// The host's shutdown: stops listening, tells the handlers, waits for them, and aborts whoever is left at the deadline. A
    /// handler that does not return even then, because it waits for something else, is left behind: the stop ends.
    /// </summary>
    /// <param name="deadline">Fires when waiting is over.</param>
    /// <param name="hurry">Fires when handlers have hardly any time to clean up behind that.</param>
    /// <returns>The connections that had to be aborted.</returns>
    internal async Task<DrainReport> StopAsync(CancellationToken deadline, CancellationToken hurry = default)
    {
        // The name before the close, which forgets the addresses.
        string name = _options.Name ?? string.Join(", ", EndPoints);
        Close();
        await RequestCloseClientsAsync(deadline).ConfigureAwait(false);
        await _gone.Task.WaitAsync(deadline).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        int left = ClientCount;
        if (left > 0)
        {
            TellCut(name, left);
            AbortClients();
            await WaitGoneAsync(AbortGrace, hurry).ConfigureAwait(false);
        }

        if (_gone.Task.IsCompleted)
        {
            await WaitClosedAsync(CancellationToken.None).ConfigureAwait(false);
            return new DrainReport(left, 0);
        }

        int behind = ClientCount;
        ServerLog.HandlersLeft(_logger, name, behind);
        // What the server holds is released when the last of them returns.
        _ = WaitClosedAsync(CancellationToken.None);
        return new DrainReport(left, behind);
    }

    /// <summary>Waits until no client is left; for so long, or for hardly any time from when <paramref name="hurry"/> fires.</summary>
    private async Task WaitGoneAsync(TimeSpan grace, CancellationToken hurry)
    {
        await _gone.Task.WaitAsync(grace, _options.TimeProvider, hurry).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (hurry.IsCancellationRequested)
        {
            await _gone.Task.WaitAsync(HurriedGrace, _options.TimeProvider, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Logs whom the deadline cuts off.</summary>
    private void TellCut(string endpoint, int count)
    {
        ServerLog.DrainDeadline(_logger, endpoint, count);
        if (!_logger.IsEnabled(LogLevel.Warning))
        {
            return;
        }

        int told = 0;
        foreach (ConnectionState client in ServerClients().Take(CutInDetail))
        {
            ConnectionContext connection = client.Connection;
            ServerLog.ConnectionCut(
                _logger,
                connection.ConnectionId,
                endpoint,
                _options.HandlerName ?? "-",
                LogText.Of(connection.RemoteEndPoint),
                (long)_options.TimeProvider.GetElapsedTime(client.Began).TotalSeconds,
                client.Link!.BytesReceived,
                client.Link.BytesSent);
            told++;
        }

        if (count > told)
        {
            ServerLog.MoreCut(_logger, endpoint, count - told);
        }
    }

    /// <summary>Builds another pipeline, which <see cref="Reconfigure"/> puts into effect.</summary>
    /// <exception cref="ArgumentException">The options are not valid.</exception>
    internal ServerPipeline Prepare(ByteStreamDelegate clientConnected, ByteStreamServerOptions options) => Build(clientConnected, options.Snapshot());

    /// <summary>
    /// New connections are served by another pipeline from now on; those that are open go on as they began. The listeners stay as they
    /// are, whatever the options say of them.
    /// </summary>
    internal void Reconfigure(ServerPipeline pipeline) => Interlocked.Exchange(ref _pipeline, pipeline).Dispose();

    /// <summary>Tells the handlers to end, those of clients that are just being accepted included.</summary>
    internal void RequestCloseClients()
    {
        // First the flag, then the list: a client that is accepted and not yet known to Kestrel looks at the flag later.
        _stopping = true;
        foreach (ConnectionState client in ServerClients())
        {
            RequestClose(client);
        }
    }

    /// <summary>
    /// As <see cref="RequestCloseClients"/>, for many clients in batches: handlers that end at once are gone before the next begin to, so that
    /// a drain needs no more memory than a batch.
    /// </summary>
    private async Task RequestCloseClientsAsync(CancellationToken deadline)
    {
        _stopping = true;
        foreach (ConnectionState[] batch in ServerClients().Chunk(CloseBatch))
        {
            Array.ForEach(batch, RequestClose);
            if (batch.Length == CloseBatch)
            {
                // The system's clock, also where timeouts have another: the batch needs processor time.
                await Task.Delay(CloseBatchTime, deadline).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>Fires <c>stopping</c> for one client. What its own callbacks throw must not keep the others from hearing of it.</summary>
    private void RequestClose(ConnectionState client) => client.RequestClose(_logger);

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

    Task IConnectionOwner.ServeAsync(ConnectionState connection) => ConnectionRunner.RunAsync(connection, _pipeline.Run);

    ValueTask IConnectionOwner.BeginAsync(ConnectionState connection)
    {
        ChannelConnection channel = connection.Channel!;
        connection.TakeNotification(channel);
        // A stop sets the flag and then looks at the clients: one of the two sees the other.
        Interlocked.MemoryBarrier();
        if (_stopping)
        {
            RequestClose(connection);
        }

        return channel.StartAsync();
    }

    /// <summary>
    /// Only middleware throws into the server. A clean close would tell the client that it was served; middleware that only passes on that the
    /// client has left has not failed.
    /// </summary>
    void IConnectionOwner.OnMiddlewareFailed(ConnectionState connection, Exception error)
    {
        IByteStreamTransportFeature link = connection.Link!;
        if (error is ConnectionResetException && link.EndReason is ConnectionEndReason.ResetByPeer or ConnectionEndReason.TimedOut)
        {
            ConnectionLog.ConnectionLost(_logger, connection.Connection.ConnectionId, error.Message);
        }
        else
        {
            ConnectionLog.MiddlewareFailed(_logger, error, connection.Connection.ConnectionId);
        }

        link.Abort(ConnectionEndReason.HandlerError, error);
    }

    async ValueTask IConnectionOwner.LeaveAsync(ConnectionState connection)
    {
        // Kestrel would dispose it next; until then the client has not left.
        await connection.Connection.DisposeAsync().ConfigureAwait(false);
        lock (_gate)
        {
            _clients.Remove(connection);
        }

        SignalIfGone();
    }

    /// <summary>Counts a client that was accepted; not one after the close, which nothing would wait for.</summary>
    private bool TryAdd(ConnectionContext connection)
    {
        // Every listener of this library accepts these.
        var client = new ConnectionState((ChannelConnection)connection, this, _options.TimeProvider.GetTimestamp())
        {
            CompletesHandler = _pipeline.CompletesHandler,
        };
        lock (_gate)
        {
            if (_isClosed)
            {
                return false;
            }

            _clients.Add(client);
            return true;
        }
    }

    /// <summary>The clients at this moment.</summary>
    private List<ConnectionState> ServerClients()
    {
        lock (_gate)
        {
            var clients = new List<ConnectionState>(_clients.Count);
            for (ConnectionState? client = _clients.Newest; client is not null; client = _clients.Next(client))
            {
                clients.Add(client);
            }

            return clients;
        }
    }

    private void SignalIfGone()
    {
        lock (_gate)
        {
            // Closed is more than closing: the addresses are free by now.
            if (_closed.Task.IsCompleted && _clients.Count == 0)
            {
                _gone.TrySetResult();
            }
        }
    }

    private async Task EndAsync()
    {
        await EndAcceptingAsync().ConfigureAwait(false);
        _pipeline.Dispose();
        _lease?.Dispose();
    }
}
