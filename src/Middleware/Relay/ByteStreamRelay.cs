using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using ByteStreams.Relay;
using ByteStreams.Connections;
using ByteStreams.Tls;
using ByteStreams.Transport;
using ByteStreams.Transport.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// Passes connections on to one of several upstreams, byte for byte in both directions. TCP, TLS and Unix sockets go together in any
/// combination: a TLS terminator in front of a Unix-socket application, a TLS originator for a plain client, a port forwarder.
/// </summary>
/// <remarks>
/// What one side does, the other sees: the end of a direction is passed on while the other goes on, a reset is a reset, and who does not
/// read pauses who sends. An upstream that cannot be connected to is another's turn (<see cref="RelayOptions.Retries"/>); where none is
/// left, the client's connection is reset. May be used for any number of connections at once, and for several servers.
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
    private readonly UpstreamGroup _group;
    private readonly UpstreamTls? _tls;
    private readonly ByteStreamClientOptions _plain;
    private readonly ByteStreamMetrics? _metrics;
    private readonly string _endpoint;
    private readonly ILogger _logger;
    private readonly LogThrottle _shortages;
    private readonly CancellationTokenSource _disposed = new();
    private readonly CancellationToken _ended;
    private bool _isDisposed;

    /// <summary>Makes a relay; health checks begin at once.</summary>
    /// <param name="options">Where to, and how. Later changes do not reach the relay.</param>
    /// <param name="loggerFactory">Where it logs, under <c>ByteStreams.Relay</c>; warnings go to standard error if null.</param>
    /// <exception cref="ArgumentException">An option is out of its range, or a TLS file cannot be used; the message names it.</exception>
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
        _ended = _disposed.Token;
        _metrics = metrics;
        _endpoint = endpoint;
        _logger = (loggerFactory ?? DefaultLogging.For()).CreateLogger("ByteStreams.Relay");
        _plain = options.Connection.Snapshot();
        // Bounded as a whole, with the handshake.
        _plain.ConnectTimeout = Timeout.InfiniteTimeSpan;
        _plain.Tls = null;
        _plain.TlsRequireCloseNotify = options.Tls.RequireCloseNotify;
        TimeProvider time = _plain.TimeProvider;
        _shortages = new LogThrottle(time, TimeSpan.FromSeconds(1));
        _group = new UpstreamGroup([.. options.Upstreams.Select(url => new Upstream(url, options, time, resolve))], options.LoadBalancing);
        if (_group.All.Any(upstream => upstream.IsTls))
        {
            _tls = new UpstreamTls(options.Tls, time, _logger);
        }

        metrics?.Watch(_group, endpoint);
        if (options.HealthCheckInterval is TimeSpan interval)
        {
            foreach (Upstream upstream in _group.All)
            {
                _ = RepeatAsync(interval, () => CheckAsync(upstream));
            }
        }

        foreach (Upstream upstream in _group.All.Where(upstream => upstream.HasName))
        {
            _ = RepeatAsync(options.ResolveInterval, () => ResolveAsync(upstream));
        }
    }

    internal UpstreamGroup Upstreams => _group;

    /// <summary>Serves a client: a handler, for a server or an endpoint.</summary>
    /// <param name="reader">What the client sends.</param>
    /// <param name="writer">What is sent to the client. It is of a server's connection.</param>
    /// <param name="stopping">
    /// Fires when the server stops: the connection goes on until both sides have ended, or nothing has moved for
    /// <see cref="RelayOptions.DrainQuiet"/> and no answer is awaited (<see cref="RelayOptions.DrainWaitsForAnswer"/>), or the server's deadline
    /// aborts it.
    /// </param>
    /// <returns>Done when both directions have ended, or the connection is lost.</returns>
    /// <exception cref="ArgumentException">The writer is of no connection.</exception>
    public async Task ServeAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ConnectionContext client = writer.Transport ?? throw new ArgumentException("A relay needs a connection, and not a pipe alone.", nameof(writer));
        IConnectionProgress progress = ConnectionLink.Progress(client);
        var failures = new List<string>();
        var gone = new ClientGone();
        progress.ObserveEnd(gone);
        Upstream? chosen;
        ConnectionContext? upstream;
        try
        {
            (chosen, upstream) = await LossWatch.WaitAsync(OpenAsync(client, failures, gone.Token), progress, _plain.TimeProvider).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (gone.IsCancellationRequested)
        {
            RelayLog.ClientGone(_logger, writer.ConnectionId, EndReasonText.Of(ConnectionLink.Of(client).EndReason));
            return;
        }
        catch (SocketException shortage) when (DescriptorLimit.IsShortage(shortage))
        {
            if (_shortages.Count() is > 0 and int count)
            {
                RelayLog.DescriptorsShort(_logger, count, shortage.Message);
            }

            writer.Abort(ConnectionEndReason.RefusedDescriptors, null);
            return;
        }

        if (chosen is null || upstream is null)
        {
            RelayLog.NoUpstream(_logger, writer.ConnectionId, string.Join("; ", failures));
            writer.Abort(ConnectionEndReason.UpstreamUnavailable, null);
            return;
        }

        ConnectionState.Get(client)?.EnsureMetadata().Upstream = chosen.Name;
        // Asked now: a disposed connection has lost its features.
        var secured = ConnectionLink.Of(upstream) as TlsTransport;
        try
        {
            await new RelayedConnection(client, upstream, _options.DrainQuiet, _options.DrainWaitsForAnswer, _plain.LingerTimeout, _plain.TimeProvider).RunAsync(stopping).ConfigureAwait(false);
        }
        finally
        {
            chosen.Leave();
            if (secured is { EndedWithoutCloseNotify: true })
            {
                TlsLog.UpstreamTruncated(_logger, client.ConnectionId, chosen.Name);
                _metrics?.TlsTruncated(_endpoint, chosen.Name);
            }
        }
    }

    /// <summary>Ends health checks and the resolving of names. Connections go on. A second call does nothing.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isDisposed, true))
        {
            return;
        }

        _metrics?.Forget(_group);
        RelayMap.Forget(this);
        _disposed.Cancel();
        _disposed.Dispose();
    }

    private async Task<(Upstream? Upstream, ConnectionContext? Connection)> OpenAsync(
        ConnectionContext client, List<string> failures, CancellationToken gone)
    {
        List<Upstream> tried = [];
        while (tried.Count <= _options.Retries && _group.Choose(tried) is Upstream upstream)
        {
            long began = _plain.TimeProvider.GetTimestamp();
            try
            {
                ConnectionContext connection = await ConnectAsync(client, upstream, _options.ConnectTimeout, gone).ConfigureAwait(false);
                _metrics?.UpstreamConnected(_endpoint, upstream.Name, null, _plain.TimeProvider.GetElapsedTime(began));
                if (upstream.Succeeded())
                {
                    RelayLog.Back(_logger, upstream.Name);
                }

                return (upstream, connection);
            }
            catch (Exception failed) when (IsFailure(failed))
            {
                _metrics?.UpstreamConnected(_endpoint, upstream.Name, ErrorType(failed), _plain.TimeProvider.GetElapsedTime(began));
                upstream.Leave();
                tried.Add(upstream);
                failures.Add($"{upstream.Name}: {failed.Message}");
                RelayLog.AttemptFailed(_logger, client.ConnectionId, upstream.Name, failed.Message);
                int row = upstream.Failed();
                if (row > 0)
                {
                    RelayLog.Ejected(_logger, upstream.Name, row, _options.EjectFor.TotalSeconds, failed.Message);
                }
            }
            catch
            {
                upstream.Leave();
                throw;
            }
        }

        return default;
    }

    /// <summary>What tells the upstream who the client is; for a check, which has no client, that it is the relay's own.</summary>
    private ProxyHeader? Header(ConnectionContext? client) => _options.SendProxyHeader switch
    {
        SendProxyHeader.None => null,
        SendProxyHeader.V1 => client is null ? new ProxyHeader { Version = 1, IsLocal = true } : ProxyHeader.For(client, 1),
        _ => client is null ? ProxyHeader.Local : ProxyHeader.For(client),
    };

    /// <param name="client">Whose connection is to be passed on; null for a check.</param>
    /// <param name="upstream">Where to.</param>
    /// <param name="timeout">For all of it.</param>
    /// <param name="gone">Fires where the connection is not needed any more.</param>
    private async Task<ConnectionContext> ConnectAsync(ConnectionContext? client, Upstream upstream, TimeSpan timeout, CancellationToken gone)
    {
        using var timer = new CancellationTokenSource(timeout, _plain.TimeProvider);
        using var late = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, gone);
        try
        {
            IReadOnlyList<EndPoint> addresses = await upstream.AddressesAsync(late.Token).ConfigureAwait(false);
            addresses = WithoutLoops(addresses, client);
            ConnectionContext connection = await ByteStreamClient.OpenBesideAsync(client, addresses, _plain, late.Token).ConfigureAwait(false);
            if (Turn.Current is null && connection is ChannelConnection opened)
            {
                // Back to the event loop, which both connections share from here on.
                await StartAsync(opened).ConfigureAwait(false);
            }

            if (Header(client) is ProxyHeader header)
            {
                await ByteStreamClient.SendAsync(connection, header, late.Token).ConfigureAwait(false);
            }

            if (upstream.IsTls)
            {
                await ByteStreamClient.SecureAsync(connection, _tls!.Current, upstream.Host, _plain, late.Token).ConfigureAwait(false);
            }

            return connection;
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested)
        {
            gone.ThrowIfCancellationRequested();
            throw new TimeoutException($"no connection within {timeout.TotalSeconds:0.###} s");
        }
    }

    /// <summary>The addresses that do not lead back here.</summary>
    private IReadOnlyList<EndPoint> WithoutLoops(IReadOnlyList<EndPoint> addresses, ConnectionContext? client)
    {
        if (!addresses.Any(LocalAddresses.Contains))
        {
            return addresses;
        }

        if ((client as ChannelConnection)?.SocketLocal is EndPoint here)
        {
            RelayMap.Note(here, this);
        }

        EndPoint[] others = [.. addresses.Where(address => !RelayMap.LeadsTo(address, this))];
        return others.Length == 0 ? throw new RelayLoopException() : others;
    }

    private static async Task StartAsync(ChannelConnection opened)
    {
        try
        {
            await opened.StartAsync().ConfigureAwait(false);
        }
        catch
        {
            await opened.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private async Task CheckAsync(Upstream upstream)
    {
        string? failure = null;
        try
        {
            ConnectionContext connection = await ConnectAsync(null, upstream, _options.HealthCheckTimeout, _ended).ConfigureAwait(false);
            await connection.DisposeAsync().ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_ended.IsCancellationRequested)
        {
            return;
        }
        catch (SocketException shortage) when (DescriptorLimit.IsShortage(shortage))
        {
            // Not made, and so neither good nor bad.
            return;
        }
        catch (Exception failed)
        {
            // Whatever it was: an exception that nobody sees would have been the last check.
            failure = failed.Message;
        }

        if (!upstream.Checked(failure is null))
        {
            return;
        }

        if (failure is null)
        {
            RelayLog.Healthy(_logger, upstream.Name);
        }
        else
        {
            RelayLog.Unhealthy(_logger, upstream.Name, _options.UnhealthyAfter, failure);
        }
    }

    private async Task ResolveAsync(Upstream upstream)
    {
        try
        {
            await upstream.ResolveAsync(_ended).ConfigureAwait(false);
        }
        catch (Exception failed) when (!_ended.IsCancellationRequested)
        {
            RelayLog.NotResolved(_logger, upstream.Name, failed.Message);
        }
    }

    private async Task RepeatAsync(TimeSpan interval, Func<Task> work)
    {
        using var timer = new PeriodicTimer(interval, _plain.TimeProvider);
        try
        {
            while (await timer.WaitForNextTickAsync(_ended).ConfigureAwait(false))
            {
                await work().ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_ended.IsCancellationRequested)
        {
            // The relay has ended.
        }
    }

    /// <summary>The kind of failure, for metrics: never a text that a peer chose.</summary>
    private static string ErrorType(Exception failed) => failed switch
    {
        TimeoutException => "timeout",
        AuthenticationException => "tls",
        RelayLoopException => "loop",
        SocketException { SocketErrorCode: not SocketError.SocketError } socket => socket.SocketErrorCode.ToString(),
        { InnerException: SocketException { SocketErrorCode: not SocketError.SocketError } inner } => inner.SocketErrorCode.ToString(),
        _ => "_OTHER",
    };

    /// <summary>Whether it tells of the upstream or the way to it, and not of a mistake in here or of this process's descriptors.</summary>
    private static bool IsFailure(Exception error) => !DescriptorLimit.IsShortage(error) && error is IOException or SocketException or TimeoutException
        or AuthenticationException or ConnectionAbortedException;

    /// <summary>Fires when the client's connection ends while an upstream is being connected to. Without a timer, it needs no disposal.</summary>
    private sealed class ClientGone : CancellationTokenSource, IEndObserver
    {
        void IEndObserver.OnEnding() => _ = CancelAsync();
    }
}
