using ByteStreams.Connections;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Server;

/// <summary>The open connections of one server, and the pipeline that serves them. Thread-safe.</summary>
/// <param name="options">The server's options.</param>
/// <param name="logger">Logs failures of middleware, and connections that are aborted at a deadline.</param>
internal sealed class ServerConnections(ByteStreamServerOptions options, ILogger logger) : IConnectionOwner
{
    /// <summary>Connections with a log line of their own when they are aborted at the deadline: enough to see what they have in common.</summary>
    private const int MostLogged = 20;

    /// <summary>Connections that are requested to close at once.</summary>
    private const int CloseBatch = 500;

    /// <summary>The time that such a batch has before the next: 10,000 connections a second.</summary>
    private static readonly TimeSpan CloseBatchTime = TimeSpan.FromMilliseconds(50);

    private readonly Lock _gate = new();
    private readonly ConnectionList _open = new(isOwners: true);
    private readonly TaskCompletionSource _gone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile ServerPipeline? _pipeline;
    private bool _isClosed;
    private bool _isUnbound;
    private volatile bool _isStopping;

    /// <summary>The pipeline of connections that begin from now on.</summary>
    public ServerPipeline? Pipeline => _pipeline;

    /// <summary>Done when the server is closed, its addresses are free and no connection is left.</summary>
    public Task Gone => _gone.Task;

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _open.Count;
            }
        }
    }

    /// <summary>Serves connections that begin from now on with another pipeline. Returns the one before.</summary>
    public ServerPipeline? Exchange(ServerPipeline pipeline) => Interlocked.Exchange(ref _pipeline, pipeline);

    /// <summary>The connections at this moment.</summary>
    public List<ConnectionState> Snapshot()
    {
        lock (_gate)
        {
            var connections = new List<ConnectionState>(_open.Count);
            for (ConnectionState? connection = _open.Newest; connection is not null; connection = _open.Next(connection))
            {
                connections.Add(connection);
            }

            return connections;
        }
    }

    /// <summary>Adds a connection that was accepted. Returns false after the close, which nothing would wait for.</summary>
    public bool TryAdd(ConnectionContext connection)
    {
        // Every listener of this library accepts these.
        var state = new ConnectionState((ChannelConnection)connection, this, options.TimeProvider.GetTimestamp());
        lock (_gate)
        {
            if (_isClosed)
            {
                return false;
            }

            _open.Add(state);
            return true;
        }
    }

    /// <summary>Adds no connection from now on.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _isClosed = true;
        }
    }

    /// <summary>The server's addresses are free: a served connection is not waited for while its close lingers.</summary>
    public void OnUnbound()
    {
        foreach (ConnectionState connection in Snapshot())
        {
            if (connection.SkipLinger())
            {
                connection.RequestClose(logger);
            }
        }

        lock (_gate)
        {
            _isUnbound = true;
        }

        SignalIfGone();
    }

    /// <summary>Closes each connection as its writer's <c>Close</c> does.</summary>
    public void CloseAll()
    {
        foreach (ConnectionState connection in Snapshot())
        {
            connection.RequestClose(logger);
            connection.Close();
        }
    }

    /// <summary>Resets each connection.</summary>
    public void AbortAll()
    {
        foreach (ConnectionState connection in Snapshot())
        {
            // An exception for each: every throw adds to its stack trace.
            connection.Link!.Abort(ConnectionCloseReason.ServerShutdown, new ConnectionAbortedException("The server aborted its clients."));
        }
    }

    /// <summary>Fires the stopping token of each handler, those of connections that are being accepted included.</summary>
    public void RequestCloseAll()
    {
        // First the flag, then the list: a connection that Kestrel has not taken over yet checks the flag later.
        _isStopping = true;
        foreach (ConnectionState connection in Snapshot())
        {
            connection.RequestClose(logger);
        }
    }

    /// <summary>
    /// As <see cref="RequestCloseAll"/>, in batches: handlers that end at once have left before the next begin to, so that a drain needs no more
    /// memory than a batch.
    /// </summary>
    public async Task RequestCloseAllAsync(CancellationToken deadline)
    {
        _isStopping = true;
        foreach (ConnectionState[] batch in Snapshot().Chunk(CloseBatch))
        {
            Array.ForEach(batch, connection => connection.RequestClose(logger));
            if (batch.Length == CloseBatch)
            {
                // The system's clock, also where timeouts have another: the batch needs processor time.
                await Task.Delay(CloseBatchTime, deadline).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>Logs the connections that the deadline aborts.</summary>
    public void LogAborted(string endpoint, int count)
    {
        ServerLog.DrainDeadline(logger, endpoint, count);
        if (!logger.IsEnabled(LogLevel.Warning))
        {
            return;
        }

        int logged = 0;
        foreach (ConnectionState connection in Snapshot().Take(MostLogged))
        {
            ServerLog.ConnectionAborted(
                logger,
                connection.Connection.ConnectionId,
                endpoint,
                options.HandlerName ?? "-",
                LogText.Of(connection.Connection.RemoteEndPoint),
                (long)options.TimeProvider.GetElapsedTime(connection.Began).TotalSeconds,
                connection.Link!.BytesReceived,
                connection.Link.BytesSent);
            logged++;
        }

        if (count > logged)
        {
            ServerLog.MoreAborted(logger, endpoint, count - logged);
        }
    }

    Task IConnectionOwner.ServeAsync(ConnectionState connection)
    {
        // Both from one pipeline, also during a reload.
        ServerPipeline pipeline = _pipeline!;
        connection.CompletesHandler = pipeline.CompletesHandler;
        return ConnectionRunner.RunAsync(connection, pipeline.Run);
    }

    ValueTask IConnectionOwner.BeginAsync(ConnectionState connection)
    {
        ChannelConnection channel = connection.Channel!;
        connection.TakeNotification(channel);
        // A stop sets the flag and then looks at the connections: one of the two sees the other.
        Interlocked.MemoryBarrier();
        if (_isStopping)
        {
            connection.RequestClose(logger);
        }

        return channel.StartAsync();
    }

    void IConnectionOwner.OnMiddlewareFailed(ConnectionState connection, Exception error)
    {
        IByteStreamTransportFeature link = connection.Link!;
        if (error is ConnectionResetException && link.CloseReason is ConnectionCloseReason.ResetByPeer or ConnectionCloseReason.TimedOut)
        {
            // Middleware that only passes on that the client has left has not failed.
            ConnectionLog.ConnectionLost(logger, connection.Connection.ConnectionId, error.Message);
        }
        else
        {
            ConnectionLog.MiddlewareFailed(logger, error, connection.Connection.ConnectionId);
        }

        // A clean close would look to the client like an answer.
        link.Abort(ConnectionCloseReason.HandlerError, error);
    }

    async ValueTask IConnectionOwner.LeaveAsync(ConnectionState connection)
    {
        // Kestrel would dispose it next; until then the connection has not left.
        await connection.Connection.DisposeAsync().ConfigureAwait(false);
        lock (_gate)
        {
            _open.Remove(connection);
        }

        SignalIfGone();
    }

    private void SignalIfGone()
    {
        lock (_gate)
        {
            if (_isUnbound && _open.Count == 0)
            {
                _gone.TrySetResult();
            }
        }
    }
}
