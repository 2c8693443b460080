using System.Diagnostics;
using ByteStreams.Pooling;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// A pool of connections to one service. Thread-safe. Registered by <c>services.AddByteStreamClient(name, url)</c>, as a keyed singleton and for the
/// constructor of a typed client.
/// </summary>
/// <remarks>
/// <para>
/// A caller rents a connection for one exchange at a time. The pool never writes and never repeats a request: if an exchange fails, its caller gets the
/// error, and the connection is closed. Only connects are retried, before a byte of the caller was written.
/// </para>
/// <para>
/// Each caller that finds no idle connection opens one itself, while it holds one of <see cref="ByteStreamPoolOptions.MaxConnections"/> slots. A slot has
/// at most one connect attempt and one connection.
/// </para>
/// </remarks>
public sealed partial class ByteStreamPool : IAsyncDisposable
{
    private readonly ByteStreamPoolOptions _options;
    private readonly PoolConnector _connector;
    private readonly ClientMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly SemaphoreSlim _slots;
    private readonly CancellationTokenSource _stopping = new();

    // Idle connections, the last used last: it is used again first, so that the others reach their idle time.
    private readonly List<PooledConnection> _idle = [];
    private bool _isDisposed;

    internal ByteStreamPool(string name, ByteStreamPoolOptions options, PoolConnector connector, ClientMetrics metrics, TimeProvider time, ILogger logger)
    {
        Name = name;
        _options = options;
        _connector = connector;
        _metrics = metrics;
        _time = time;
        _logger = logger;
        _slots = new SemaphoreSlim(options.MaxConnections, options.MaxConnections);
    }

    /// <summary>The name of the client.</summary>
    public string Name { get; }

    /// <summary>Idle connections.</summary>
    public int IdleCount
    {
        get
        {
            lock (_idle)
            {
                return _idle.Count;
            }
        }
    }

    /// <summary>Rents a connection: an idle one, or a new one.</summary>
    /// <param name="cancellationToken">Ends the wait and the connect attempt.</param>
    /// <returns>The lease, which the caller disposes.</returns>
    /// <exception cref="TimeoutException"><see cref="ByteStreamPoolOptions.AcquireTimeout"/> has passed.</exception>
    /// <exception cref="IOException">The connect failed, as did its retries.</exception>
    /// <exception cref="System.Net.Sockets.SocketException">As <see cref="IOException"/>.</exception>
    /// <exception cref="System.Security.Authentication.AuthenticationException">The TLS handshake was rejected; it is not retried.</exception>
    /// <exception cref="ObjectDisposedException">The pool is disposed.</exception>
    public async ValueTask<ByteStreamLease> RentAsync(CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        long began = _time.GetTimestamp();
        using var timeout = new CancellationTokenSource(_options.AcquireTimeout, _time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken, _stopping.Token);
        string waitsFor = $"all {_options.MaxConnections} connections (MaxConnections) are in use. Raise MaxConnections, or rent for a shorter time";
        try
        {
            await _slots.WaitAsync(linked.Token).ConfigureAwait(false);
            waitsFor = "the connect, its retries included, took too long. Check that the service is reachable";
            try
            {
                PooledConnection connection = await TakeIdleAsync(linked.Token).ConfigureAwait(false)
                    ?? await _connector.ConnectAsync(linked.Token).ConfigureAwait(false);
                _metrics.Changed(isIdle: false, 1);
                _metrics.Acquired(_time.GetElapsedTime(began), null);
                return new ByteStreamLease(this, connection);
            }
            catch
            {
                _slots.Release();
                throw;
            }
        }
        catch (OperationCanceledException) when (linked.IsCancellationRequested)
        {
            _metrics.Acquired(_time.GetElapsedTime(began), timeout.IsCancellationRequested ? "timeout" : "cancelled");
            cancellationToken.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            throw new TimeoutException(
                $"Client '{Name}': no connection within {_options.AcquireTimeout.TotalSeconds:0.###} s (AcquireTimeout): {waitsFor}.", _connector.LastError);
        }
        catch (Exception error)
        {
            _metrics.Acquired(_time.GetElapsedTime(began), PoolConnector.GetErrorType(error));
            throw;
        }
    }

    /// <summary>Runs one exchange, such as a request and its response, on a rented connection. The exchange is called at most once.</summary>
    /// <typeparam name="TState">The type of <paramref name="state"/>.</typeparam>
    /// <typeparam name="TResult">The result's type.</typeparam>
    /// <param name="state">Given to <paramref name="exchange"/>.</param>
    /// <param name="exchange">Writes the request and reads the whole response. If it throws, the connection is closed.</param>
    /// <param name="cancellationToken">Given to <paramref name="exchange"/>; a cancelled exchange closes its connection.</param>
    /// <returns>The result.</returns>
    /// <remarks>
    /// Errors are those of <see cref="RentAsync"/>, before anything was written, and those of <paramref name="exchange"/>, unchanged. To repeat a request
    /// that may be repeated is the caller's decision.
    /// </remarks>
    public async Task<TResult> ExecuteAsync<TState, TResult>(
        TState state, Func<ByteStreamConnection, TState, CancellationToken, Task<TResult>> exchange, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(exchange);
        using Activity? activity = _metrics.StartActivity("bytestreams.client.exchange");
        try
        {
            ByteStreamLease lease = await RentAsync(cancellationToken).ConfigureAwait(false);
            await using (lease.ConfigureAwait(false))
            {
                TResult result = await exchange(lease.Connection, state, cancellationToken).ConfigureAwait(false);
                lease.Complete();
                return result;
            }
        }
        catch (Exception error)
        {
            ClientMetrics.Fail(activity, error);
            throw;
        }
    }

    /// <summary>Closes the idle connections, cancels connect attempts, and lets rented connections be closed when they are returned.</summary>
    /// <returns>Done when the idle connections are closed.</returns>
    public async ValueTask DisposeAsync()
    {
        PooledConnection[] idle;
        lock (_idle)
        {
            _isDisposed = true;
            idle = [.. _idle];
            _idle.Clear();
        }

        await _stopping.CancelAsync().ConfigureAwait(false);
        foreach (PooledConnection connection in idle)
        {
            _metrics.Changed(isIdle: true, -1);
            await connection.StopAsync().ConfigureAwait(false);
            await CloseAsync(connection, "disposed").ConfigureAwait(false);
        }
    }
}
