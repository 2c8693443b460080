using System.Net;
using System.Net.Sockets;
using ByteStreams.Telemetry;
using ByteStreams.Tls;
using ByteStreams.Transport;
using ByteStreams.Transport.Text;
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
public sealed partial class ByteStreamServer : IAsyncDisposable
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

    // The clients, linked: a table of them would cost each idle connection 100 bytes.
    private ServerClient? _newest;
    private int _clientCount;
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
        ConnectionDelegate serve = handler.OnConnectedAsync;
        ConnectionDelegate inner = serve;
        if (options.Tls is not null)
        {
            inner = new TlsServerMiddleware(
                inner, attempt => attempt.Observe(options.Tls), options.Tls, TlsSettings.For(options), handshakes: null, () => Label, ByteStreamMetrics.Of(options),
                options.LoggerFactory.CreateLogger("ByteStreams.Tls")).OnConnectionAsync;
        }

        ConnectionDelegate built = options.Build(inner, out IReadOnlyList<IDisposable> owned, this);
        // With nothing between, or with telemetry around everything, one asynchronous frame does for both: it is 150 bytes of each idle
        // connection.
        return new ServerPipeline(ReferenceEquals(built, serve) ? context => handler.ServeAsync(context, this)
            : built.Target is TelemetryMiddleware outermost ? context => outermost.ServeAsync(context, this)
            : context => RunAsync(built, context), owned);
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
    internal int ClientCount => Volatile.Read(ref _clientCount);

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

        foreach (ServerClient client in ServerClients())
        {
            if (client.EndLinger())
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
        foreach (ServerClient client in ServerClients())
        {
            RequestClose(client);
            client.Close();
        }
    }

    /// <summary>Resets each client's connection; what was not sent yet is lost.</summary>
    public void AbortClients()
    {
        foreach (ServerClient client in ServerClients())
        {
            // One for each: what throws an exception adds to its stack trace, and of one for all nobody would see the end.
            client.Abort(ConnectionEndReason.ServerShutdown, new ConnectionAbortedException("The server aborted its clients."));
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
        foreach (ServerClient client in ServerClients().Take(CutInDetail))
        {
            ConnectionContext connection = client.Connection;
            ServerLog.ConnectionCut(
                _logger,
                connection.ConnectionId,
                endpoint,
                _options.HandlerName ?? "-",
                LogText.Of(connection.RemoteEndPoint),
                (long)_options.TimeProvider.GetElapsedTime(client.Began).TotalSeconds,
                client.BytesReceived,
                client.BytesSent);
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
        foreach (ServerClient client in ServerClients())
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
        foreach (ServerClient[] batch in ServerClients().Chunk(CloseBatch))
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
    private void RequestClose(ServerClient client) => client.RequestClose(_logger);

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

    /// <summary>Serves a connection as the pipeline of this moment does.</summary>
    internal Task ServeAsync(ConnectionContext connection) => _pipeline.Run(connection);

    /// <summary>Counts a client that was accepted; not one that the close has overtaken, which nobody would wait for.</summary>
    private bool TryAdd(ConnectionContext connection)
    {
        // Every listener of this library accepts these.
        var client = new ServerClient(this, (ChannelConnection)connection, _options.TimeProvider.GetTimestamp());
        lock (_gate)
        {
            if (_isClosed)
            {
                return false;
            }

            client.Previous = _newest;
            _newest?.Next = client;
            _newest = client;
            _clientCount++;
            return true;
        }
    }

    private void Remove(ServerClient client)
    {
        lock (_gate)
        {
            if (client.Next is null)
            {
                _newest = client.Previous;
            }
            else
            {
                client.Next.Previous = client.Previous;
            }

            client.Previous?.Next = client.Next;
            // A client that is gone and has become old must not keep those alive that came behind it, and they the next.
            client.Previous = client.Next = null;
            _clientCount--;
        }
    }

    /// <summary>The clients at this moment.</summary>
    private List<ServerClient> ServerClients()
    {
        lock (_gate)
        {
            var clients = new List<ServerClient>(_clientCount);
            for (ServerClient? client = _newest; client is not null; client = client.Previous)
            {
                clients.Add(client);
            }

            return clients;
        }
    }

    private static ServerClient Of(ConnectionContext connection) => connection.Features.Get<ServerClient>()!;

    /// <summary>Kestrel has taken a client over. Completes where its handler should run.</summary>
    internal ValueTask BeginAsync(ConnectionContext connection)
    {
        ServerClient client = Of(connection);
        client.Begin();
        // Whoever stops sets the flag and then looks here: one of the two sees the other.
        Interlocked.MemoryBarrier();
        if (_stopping)
        {
            RequestClose(client);
        }

        return client.Connection.StartAsync();
    }

    /// <summary>The client was served; it is gone when its connection is.</summary>
    internal async Task LeaveAsync(ConnectionContext connection)
    {
        // Kestrel would dispose it next; until then the client is not gone.
        await connection.DisposeAsync().ConfigureAwait(false);
        Remove(Of(connection));
        SignalIfGone();
    }

    private async Task RunAsync(ConnectionDelegate built, ConnectionContext connection)
    {
        try
        {
            await BeginAsync(connection).ConfigureAwait(false);
            await built(connection).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            OnMiddlewareFailed(connection, error);
        }
        finally
        {
            await LeaveAsync(connection).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Only middleware throws into the server. A clean end would tell the client that it was served; one that only passes on that the
    /// client is gone has not failed.
    /// </summary>
    internal void OnMiddlewareFailed(ConnectionContext connection, Exception error)
    {
        ServerClient client = Of(connection);
        if (error is ConnectionResetException && client.Connection.EndReason is ConnectionEndReason.ResetByPeer or ConnectionEndReason.TimedOut)
        {
            ServerLog.ConnectionLost(_logger, connection.ConnectionId, error.Message);
        }
        else
        {
            ServerLog.MiddlewareFailed(_logger, error, connection.ConnectionId);
        }

        client.Abort(ConnectionEndReason.HandlerError, error);
    }

    private void SignalIfGone()
    {
        lock (_gate)
        {
            // Closed is more than closing: the addresses are free by now.
            if (_closed.Task.IsCompleted && _clientCount == 0)
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
