using System.Net.Sockets;
using ByteStreams.Connections;
using ByteStreams.Relay;
using ByteStreams.Tls;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// Forwards connections to one of several upstreams, byte for byte in both directions. TCP, TLS and Unix sockets work in every combination:
/// as a TLS terminator for a Unix-socket application, a TLS originator for a plain client, a port forwarder.
/// </summary>
/// <remarks>
/// A half-close, a close and a reset on one side are forwarded to the other. Backpressure is forwarded: a side is not read while the other side
/// does not accept its bytes. A failed connect is retried with another upstream (<see cref="RelayOptions.Retries"/>); if none is left, the
/// client's connection is reset. One relay serves any number of connections at the same time, and several servers.
/// </remarks>
/// <example>
/// <code>
/// using var relay = new ByteStreamRelay(new RelayOptions { Upstreams = { "unix:/run/app.sock" } });
/// await using ByteStreamServer server = await ByteStream.StartServerAsync(relay.ServeAsync, "127.0.0.1", 7000);
/// </code>
/// </example>
public sealed class ByteStreamRelay : IDisposable
{
    private readonly RelayOptions _options;
    private readonly UpstreamGroup _upstreams;
    private readonly UpstreamConnector _connector;
    private readonly UpstreamMonitor _monitor;
    private readonly TimeSpan _lingerTimeout;
    private readonly TimeProvider _time;
    private readonly ByteStreamMetrics? _metrics;
    private readonly string _endpoint;
    private readonly ILogger _logger;
    private readonly LogThrottle _shortages;
    private bool _isDisposed;

    /// <summary>Creates a relay and starts its health checks.</summary>
    /// <param name="options">The options. Later changes have no effect.</param>
    /// <param name="loggerFactory">The logger factory, for the category <c>ByteStreams.Relay</c>; null writes warnings to standard error.</param>
    /// <exception cref="ArgumentException">An option is out of range, or a TLS file is unusable; the message names it.</exception>
    public ByteStreamRelay(RelayOptions options, ILoggerFactory? loggerFactory = null)
        : this(options, loggerFactory, null, string.Empty)
    {
    }

    internal ByteStreamRelay(
        RelayOptions options, ILoggerFactory? loggerFactory, ByteStreamMetrics? metrics, string endpoint, Upstream.Resolver? resolve = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
        _metrics = metrics;
        _endpoint = endpoint;
        _logger = (loggerFactory ?? DefaultLogging.For()).CreateLogger("ByteStreams.Relay");
        ByteStreamClientOptions connection = options.Connection.Snapshot();
        connection.ConnectTimeout = Timeout.InfiniteTimeSpan;
        connection.Tls = null;
        connection.TlsRequireCloseNotify = options.Tls.RequireCloseNotify;
        connection.TlsEngine = options.Tls.Engine;
        _lingerTimeout = connection.LingerTimeout;
        _time = connection.TimeProvider;
        _shortages = new LogThrottle(_time, TimeSpan.FromSeconds(1));
        _upstreams = new UpstreamGroup([.. options.Upstreams.Select(url => new Upstream(url, options, _time, resolve))], options.LoadBalancing);
        UpstreamTls? tls = _upstreams.All.Any(upstream => upstream.IsTls) ? new UpstreamTls(options.Tls, _time, _logger) : null;
        _connector = new UpstreamConnector(_upstreams, options, connection, tls, metrics, endpoint, _logger);
        metrics?.Watch(_upstreams, endpoint);
        _monitor = new UpstreamMonitor(_upstreams, _connector, options, _time, _logger);
    }

    internal UpstreamGroup Upstreams => _upstreams;

    /// <summary>Serves a client's connection: the handler for a server or an endpoint.</summary>
    /// <param name="reader">The reader of the client's connection.</param>
    /// <param name="writer">The writer of the client's connection, which a server has accepted.</param>
    /// <param name="stopping">
    /// Cancelled when the server stops. The connection then stays open until both sides have closed, until it is idle for
    /// <see cref="RelayOptions.DrainQuiet"/> and no response is due (<see cref="RelayOptions.DrainWaitsForAnswer"/>), or until the server aborts it.
    /// </param>
    /// <returns>Completes when both directions are closed, or the connection has failed.</returns>
    /// <exception cref="ArgumentException">The writer has no connection.</exception>
    public async Task ServeAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ConnectionContext client = writer.Transport ?? throw new ArgumentException("A relay needs the writer of a connection, not of a pipe.", nameof(writer));
        if (await OpenUpstreamAsync(client, writer).ConfigureAwait(false) is not (Upstream upstream, ConnectionContext connection))
        {
            return;
        }

        ConnectionState.Get(client)?.EnsureMetadata().Upstream = upstream.Name;
        // Read before the connection is disposed, which clears its features.
        var tls = ConnectionLink.Of(connection) as TlsTransport;
        try
        {
            await new RelayedConnection(client, connection, _options.DrainQuiet, _options.DrainWaitsForAnswer, _lingerTimeout, _time).RunAsync(stopping).ConfigureAwait(false);
        }
        finally
        {
            upstream.Leave();
            if (tls is { EndedWithoutCloseNotify: true })
            {
                TlsLog.UpstreamTruncated(_logger, client.ConnectionId, upstream.Name);
                _metrics?.TlsTruncated(_endpoint, upstream.Name);
            }
        }
    }

    /// <summary>Stops health checks and name resolution. Connections stay open. A second call does nothing.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isDisposed, true))
        {
            return;
        }

        _metrics?.Forget(_upstreams);
        RelayLoopDetector.Remove(_upstreams);
        _monitor.Dispose();
    }

    /// <summary>Opens the upstream connection. Returns null if the client has disconnected, or its connection was aborted because of a failure.</summary>
    private async Task<(Upstream Upstream, ConnectionContext Connection)?> OpenUpstreamAsync(ConnectionContext client, ByteStreamWriter writer)
    {
        IConnectionProgress progress = ConnectionLink.Progress(client);
        var failures = new List<string>();
        var gone = new ClientGone();
        progress.ObserveEnd(gone);
        try
        {
            if (await DisconnectPolling.WaitAsync(_connector.OpenAsync(client, failures, gone.Token), progress, _time).ConfigureAwait(false) is { } opened)
            {
                return opened;
            }

            RelayLog.NoUpstream(_logger, client.ConnectionId, string.Join("; ", failures));
            writer.Abort(ConnectionCloseReason.UpstreamUnavailable, null);
        }
        catch (OperationCanceledException) when (gone.IsCancellationRequested)
        {
            RelayLog.ClientGone(_logger, client.ConnectionId, CloseReasonText.GetText(ConnectionLink.Of(client).CloseReason));
        }
        catch (SocketException shortage) when (DescriptorLimit.IsShortage(shortage))
        {
            if (_shortages.Count() is > 0 and int count)
            {
                RelayLog.DescriptorShortage(_logger, count, shortage.Message);
            }

            writer.Abort(ConnectionCloseReason.RefusedDescriptors, null);
        }

        return null;
    }

    /// <summary>Cancelled when the client's connection closes. Not disposed, because it has no timer.</summary>
    private sealed class ClientGone : CancellationTokenSource, IEndObserver
    {
        void IEndObserver.OnEnding() => _ = CancelAsync();
    }
}
