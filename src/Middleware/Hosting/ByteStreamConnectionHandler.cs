using System.Collections;
using System.Globalization;
using ByteStreams.Tls;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// Adapts Kestrel's <see cref="ConnectionHandler"/> to the pair: for whoever composes Kestrel alone. Source: asyncio's
/// <c>StreamReaderProtocol</c>.
/// </summary>
/// <remarks>
/// <para>
/// A callback that returns: everything written is delivered, then the connection ends cleanly. One that throws: one error log,
/// and the client gets a reset. Works on any transport; on Kestrel's stock one <see cref="ByteStreamWriter.CanWriteEof"/> is false.
/// </para>
/// <para>
/// What the peer causes is one line at Information without a stack, where it escapes from the callback unchanged and comes from the
/// connection's own reader or writer: the loss of the connection; <see cref="IncompleteReadException"/>; <see cref="LimitOverrunException"/>;
/// a failed <c>StartTlsAsync</c>. The client gets a reset, with two exceptions: an <see cref="IncompleteReadException"/> without
/// <see cref="IncompleteReadException.Partial"/> bytes is the end between two messages, and closes as if the callback had returned; a
/// failed handshake closes cleanly, so that the client gets the alert.
/// </para>
/// </remarks>
public class ByteStreamConnectionHandler : ConnectionHandler
{
    private readonly ByteStreamDelegate _clientConnected;
    private readonly int _limit;
    private readonly string? _endpointName;
    private readonly ILogger _logger;
    private readonly ILogger _tlsLogger;

    /// <summary>Makes the handler; one serves any number of connections.</summary>
    /// <param name="clientConnected">Called for each connection.</param>
    /// <param name="limit">The readers' limit in bytes, greater than zero.</param>
    /// <param name="loggerFactory">Where errors are logged; standard error if null.</param>
    /// <param name="endpointName">The endpoint's name in the log scope; the local address if null.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="limit"/> is zero or less.</exception>
    public ByteStreamConnectionHandler(
        ByteStreamDelegate clientConnected, int limit = ByteStreamReader.DefaultLimit, ILoggerFactory? loggerFactory = null, string? endpointName = null)
    {
        ArgumentNullException.ThrowIfNull(clientConnected);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit);
        _clientConnected = clientConnected;
        _limit = limit;
        _endpointName = endpointName;
        loggerFactory ??= DefaultLogging.For();
        _logger = loggerFactory.CreateLogger("ByteStreams.Connection");
        _tlsLogger = loggerFactory.CreateLogger("ByteStreams.Tls");
    }

    /// <inheritdoc/>
    public override Task OnConnectedAsync(ConnectionContext connection)
    {
        ArgumentNullException.ThrowIfNull(connection);
        return ServeAsync(connection, server: null);
    }

    /// <summary>As <see cref="OnConnectedAsync"/>, on behalf of the server that accepted the connection.</summary>
    internal async Task ServeAsync(ConnectionContext connection, ByteStreamServer? server)
    {
        try
        {
            if (server is not null)
            {
                await server.BeginAsync(connection).ConfigureAwait(false);
            }

            // Half-close and prompt flushes, also where Kestrel's own HTTP would have neither.
            (connection.Features.Get<IConnectionProgress>() as IKestrelConventions)?.FollowsKestrel = false;
            var reader = new ByteStreamReader(connection.Transport.Input, _limit);
            var writer = new ByteStreamWriter(connection.Transport.Output, reader, connection, _logger, DeferredFlush.Shared);
            ServerClient? client = connection.Features.Get<ServerClient>();
            client?.Writer = writer;
            // As Kestrel does for its own: where nobody logs, nobody reads the scope.
            using IDisposable? scope = _logger.IsEnabled(LogLevel.Critical) ? _logger.BeginScope(new ConnectionScope(connection, _endpointName)) : null;
            CancellationToken stopping = connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? default;
            try
            {
                try
                {
                    await _clientConnected(reader, writer, stopping).ConfigureAwait(false);
                }
                finally
                {
                    if (writer.HandlerScope is IAsyncDisposable ended)
                    {
                        await ended.DisposeAsync().ConfigureAwait(false);
                    }
                }
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                // The way most handlers stop: a read or a wait was given the token. What was written is delivered.
                ServerLog.HandlerStopped(_logger, connection.ConnectionId);
            }
            catch (Exception error) when (connection.Features.Get<TlsUpgradeFailure>() is TlsUpgradeFailure upgrade && ReferenceEquals(upgrade.Error, error))
            {
                OnUpgradeFailed(writer, connection, upgrade);
            }
            catch (IncompleteReadException ended) when (ReferenceEquals(ended.Reader, reader))
            {
                // Between two messages a clean end is not an error: what was written is delivered. In the middle of one the peer must not
                // take the end for an answer.
                ServerLog.ReadIncomplete(_logger, connection.ConnectionId, ended.Message);
                if (ended.Partial.Length > 0 && !writer.IsClosedHere)
                {
                    writer.Abort(ConnectionEndReason.IncompleteMessage, ended);
                }
            }
            catch (LimitOverrunException over) when (ReferenceEquals(over.Reader, reader))
            {
                ServerLog.LimitExceeded(_logger, connection.ConnectionId, over.Message);
                writer.Abort(ConnectionEndReason.LimitExceeded, over);
            }
            catch (Exception lost) when (IsLoss(lost, reader, writer, connection))
            {
                if (lost is TlsTruncatedException)
                {
                    ServerLog.ConnectionTruncated(_logger, connection.ConnectionId);
                }
                else
                {
                    ServerLog.ConnectionLost(_logger, connection.ConnectionId, lost.Message);
                }

                // A close from this side, which a drain that waited throws too, goes on to deliver what was written.
                if (!writer.IsClosedHere)
                {
                    writer.Abort(lost is TlsTruncatedException ? ConnectionEndReason.TlsTruncated : ConnectionEndReason.Aborted, null);
                }
            }
            catch (Exception error)
            {
                ServerLog.HandlerFailed(_logger, error, connection.ConnectionId);
                writer.Abort(error is LimitOverrunException ? ConnectionEndReason.LimitExceeded : ConnectionEndReason.HandlerError, error);
            }

            if (stopping.IsCancellationRequested)
            {
                connection.Features.Get<IByteStreamTransportFeature>()?.Close(ConnectionEndReason.Drained);
            }

            writer.Close();
            if (client?.Served() == true)
            {
                client.RequestClose(_logger);
            }

            if (connection.Features.Get<IByteStreamTransportFeature>() is not null)
            {
                await ConnectionLink.WaitForEndAsync(connection).ConfigureAwait(false);
            }

            reader.Detach();
        }
        finally
        {
            if (server is not null)
            {
                await server.LeaveAsync(connection).ConfigureAwait(false);
            }
        }
    }

    /// <summary>As <c>UseTls</c> logs it. A failed handshake has begun to close the connection, which delivers the alert.</summary>
    private void OnUpgradeFailed(ByteStreamWriter writer, ConnectionContext connection, TlsUpgradeFailure upgrade)
    {
        TlsLog.HandshakeFailed(_tlsLogger, connection, upgrade.Failure);
        if (!writer.IsClosedHere)
        {
            // Plain bytes were refused before the handshake.
            writer.Abort(upgrade.Failure.Reason, upgrade.Error);
        }
    }

    /// <summary>
    /// Whether the handler only passes on that its connection is gone. The loss of another one, which the handler has opened to
    /// somebody else, is a failure like any other.
    /// </summary>
    private static bool IsLoss(Exception error, ByteStreamReader reader, ByteStreamWriter writer, ConnectionContext connection)
    {
        if (reader.Exception is Exception stored && ReferenceEquals(stored, error))
        {
            return error is IOException or ConnectionAbortedException;
        }

        if (error is not (ConnectionResetException or ConnectionAbortedException))
        {
            return false;
        }

        return connection.Features.Get<IByteStreamTransportFeature>() is IByteStreamTransportFeature link
            ? writer.IsClosing || link.EndReason != ConnectionEndReason.None
            : error is ConnectionResetException || connection.ConnectionClosed.IsCancellationRequested;
    }

    /// <summary>What every log line of the handler carries.</summary>
    private sealed class ConnectionScope(ConnectionContext connection, string? endpointName) : IReadOnlyList<KeyValuePair<string, object?>>
    {
        public int Count => 3;

        public KeyValuePair<string, object?> this[int index] => index switch
        {
            0 => new("ConnectionId", connection.ConnectionId),
            1 => new("Endpoint", endpointName ?? connection.LocalEndPoint?.ToString()),
            2 => new("Peer", connection.RemoteEndPoint?.ToString()),
            _ => throw new ArgumentOutOfRangeException(nameof(index)),
        };

        public IEnumerator<KeyValuePair<string, object?>> GetEnumerator()
        {
            for (int i = 0; i < Count; i++)
            {
                yield return this[i];
            }
        }

        public override string ToString() => string.Create(
            CultureInfo.InvariantCulture, $"ConnectionId:{this[0].Value} Endpoint:{this[1].Value} Peer:{this[2].Value}");

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
    }
}
