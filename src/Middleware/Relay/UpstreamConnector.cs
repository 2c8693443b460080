using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using ByteStreams.Connections;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Relay;

/// <summary>
/// Opens upstream connections: selects an upstream, connects, sends the PROXY header, performs the TLS handshake, and retries with another
/// upstream. Thread-safe.
/// </summary>
/// <param name="upstreams">The upstreams.</param>
/// <param name="options">The options of the relay.</param>
/// <param name="connectionOptions">The options of the connections, without a connect timeout: <see cref="RelayOptions.ConnectTimeout"/> covers the handshake too.</param>
/// <param name="tls">The TLS options; null without a <c>tls://</c> upstream.</param>
/// <param name="metrics">Counts the attempts; null for none.</param>
/// <param name="endpoint">The endpoint's name in metrics.</param>
/// <param name="logger">The logger.</param>
internal sealed class UpstreamConnector(
    UpstreamGroup upstreams, RelayOptions options, ByteStreamClientOptions connectionOptions, UpstreamTls? tls, ByteStreamMetrics? metrics, string endpoint, ILogger logger)
{
    private readonly TimeProvider _time = connectionOptions.TimeProvider;

    /// <summary>Opens a connection for a client.</summary>
    /// <param name="client">The client's connection.</param>
    /// <param name="failures">Receives a text for each upstream that failed.</param>
    /// <param name="cancellationToken">Cancelled when the client's connection closes.</param>
    /// <returns>Null if every upstream that was tried has failed.</returns>
    public async Task<(Upstream Upstream, ConnectionContext Connection)?> OpenAsync(
        ConnectionContext client, List<string> failures, CancellationToken cancellationToken)
    {
        List<Upstream> tried = [];
        while (tried.Count <= options.Retries && upstreams.Choose(tried) is Upstream upstream)
        {
            long began = _time.GetTimestamp();
            try
            {
                ConnectionContext connection = await ConnectAsync(client, upstream, options.ConnectTimeout, cancellationToken).ConfigureAwait(false);
                metrics?.UpstreamConnected(endpoint, upstream.Name, null, _time.GetElapsedTime(began));
                if (upstream.RecordSuccess())
                {
                    RelayLog.Readmitted(logger, upstream.Name);
                }

                return (upstream, connection);
            }
            catch (Exception failed) when (IsUpstreamFailure(failed))
            {
                metrics?.UpstreamConnected(endpoint, upstream.Name, GetErrorType(failed), _time.GetElapsedTime(began));
                upstream.Leave();
                tried.Add(upstream);
                failures.Add($"{upstream.Name}: {failed.Message}");
                RelayLog.ConnectFailed(logger, client.ConnectionId, upstream.Name, failed.Message);
                if (upstream.RecordFailure() is > 0 and int count)
                {
                    RelayLog.Ejected(logger, upstream.Name, options.EjectFor.TotalSeconds, count, failed.Message);
                }
            }
            catch
            {
                upstream.Leave();
                throw;
            }
        }

        return null;
    }

    /// <summary>Opens a connection as for a client, and closes it.</summary>
    /// <exception cref="Exception">The connection cannot be opened.</exception>
    public async Task CheckAsync(Upstream upstream, CancellationToken cancellationToken)
    {
        ConnectionContext connection = await ConnectAsync(null, upstream, options.HealthCheckTimeout, cancellationToken).ConfigureAwait(false);
        await connection.DisposeAsync().ConfigureAwait(false);
    }

    /// <param name="client">The client's connection; null for a health check.</param>
    /// <param name="upstream">The upstream.</param>
    /// <param name="timeout">The timeout of the whole operation.</param>
    /// <param name="cancellationToken">Cancels the operation.</param>
    private async Task<ConnectionContext> ConnectAsync(ConnectionContext? client, Upstream upstream, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var timer = new CancellationTokenSource(timeout, _time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellationToken);
        try
        {
            IReadOnlyList<EndPoint> addresses = await upstream.GetAddressesAsync(linked.Token).ConfigureAwait(false);
            addresses = WithoutLoops(addresses, client);
            ConnectionContext connection = await ByteStreamClient.OpenOnLoopAsync(client, addresses, connectionOptions, linked.Token).ConfigureAwait(false);
            if (LoopDispatch.Current is null && connection is ChannelConnection opened)
            {
                // Resumes on the event loop of the client's connection, which serves both connections from here on.
                await StartAsync(opened).ConfigureAwait(false);
            }

            if (GetHeader(client) is ProxyHeader header)
            {
                await ByteStreamClient.SendAsync(connection, header, linked.Token).ConfigureAwait(false);
            }

            if (upstream.IsTls)
            {
                await ByteStreamClient.SecureAsync(connection, tls!.Current, upstream.Host, connectionOptions, linked.Token).ConfigureAwait(false);
            }

            return connection;
        }
        catch (OperationCanceledException) when (linked.IsCancellationRequested)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new TimeoutException($"connect timed out after {timeout.TotalSeconds:0.###} s");
        }
    }

    /// <summary>Returns the PROXY header for a connection; for a health check, which has no client, one with LOCAL (version 1: UNKNOWN).</summary>
    private ProxyHeader? GetHeader(ConnectionContext? client) => options.SendProxyHeader switch
    {
        SendProxyHeader.None => null,
        SendProxyHeader.V1 => client is null ? new ProxyHeader { Version = 1, IsLocal = true } : ProxyHeader.For(client, 1),
        _ => client is null ? ProxyHeader.Local : ProxyHeader.For(client),
    };

    /// <summary>Returns the addresses that do not lead back to this relay.</summary>
    private IReadOnlyList<EndPoint> WithoutLoops(IReadOnlyList<EndPoint> addresses, ConnectionContext? client)
    {
        if (!addresses.Any(LocalAddresses.Contains))
        {
            return addresses;
        }

        if ((client as ChannelConnection)?.SocketLocal is EndPoint listening)
        {
            RelayLoopDetector.Add(listening, upstreams);
        }

        EndPoint[] others = [.. addresses.Where(address => !RelayLoopDetector.LeadsTo(address, upstreams))];
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

    /// <summary>Returns the error type for metrics. It contains no text of the peer.</summary>
    private static string GetErrorType(Exception failed) => failed switch
    {
        TimeoutException => "timeout",
        AuthenticationException => "tls",
        RelayLoopException => "loop",
        SocketException { SocketErrorCode: not SocketError.SocketError } socket => socket.SocketErrorCode.ToString(),
        { InnerException: SocketException { SocketErrorCode: not SocketError.SocketError } inner } => inner.SocketErrorCode.ToString(),
        _ => "_OTHER",
    };

    /// <summary>Returns whether the upstream or the network caused an error, and not a bug or a shortage of descriptors in this process.</summary>
    private static bool IsUpstreamFailure(Exception error) => !DescriptorLimit.IsShortage(error) && error is IOException or SocketException or TimeoutException
        or AuthenticationException or ConnectionAbortedException;
}
