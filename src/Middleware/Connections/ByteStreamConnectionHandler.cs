using ByteStreams.Connections;
using ByteStreams.Streams;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// Adapts Kestrel's <see cref="ConnectionHandler"/> to the pair, for applications that compose Kestrel themselves. Source: asyncio's
/// <c>StreamReaderProtocol</c>.
/// </summary>
/// <remarks>
/// <para>
/// When the callback returns, everything written is delivered, and then the connection closes cleanly. When it throws, one error is logged
/// and the connection is reset. It works on any transport; on Kestrel's socket transport <see cref="ByteStreamWriter.CanWriteEof"/> is false.
/// </para>
/// <para>
/// What the peer causes is one line at Information without a stack, where it escapes from the callback unchanged and comes from the
/// connection's own reader or writer: the loss of the connection; <see cref="IncompleteReadException"/>; <see cref="LimitOverrunException"/>; <see cref="InvalidFrameException"/>;
/// a failed <c>StartTlsAsync</c>. The connection is reset, with two exceptions: an <see cref="IncompleteReadException"/> without
/// <see cref="IncompleteReadException.Partial"/> bytes is an end of input between two messages, and closes as if the callback had returned; a
/// failed handshake closes cleanly, so that the client gets the alert.
/// </para>
/// </remarks>
public class ByteStreamConnectionHandler : ConnectionHandler
{
    private readonly ByteStreamDelegate _clientConnected;
    private readonly int _limit;
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
        EndpointName = endpointName;
        loggerFactory ??= DefaultLogging.For();
        _logger = loggerFactory.CreateLogger("ByteStreams.Connection");
        _tlsLogger = loggerFactory.CreateLogger("ByteStreams.Tls");
    }

    /// <summary>The endpoint's name in the log scope; null for the local address.</summary>
    internal string? EndpointName { get; }

    /// <inheritdoc/>
    public override Task OnConnectedAsync(ConnectionContext connection)
    {
        ArgumentNullException.ThrowIfNull(connection);
        return ConnectionState.Get(connection) switch
        {
            null => ConnectionRunner.RunAsync(ConnectionState.Create(connection, completesHandler: true), Start),
            { CompletesHandler: true } state => Start(state),
            ConnectionState state => RunAsync(state),
        };
    }

    /// <summary>
    /// Maps what the handler threw to a close reason, closes the connection and waits for that. Called by the frame that awaited the task of
    /// <see cref="Start(ConnectionState)"/>.
    /// </summary>
    internal async Task CompleteAsync(ConnectionState state, Exception? failure)
    {
        if (state.HandlerScope is IAsyncDisposable scope)
        {
            try
            {
                await scope.DisposeAsync().ConfigureAwait(false);
            }
            catch (Exception error)
            {
                // As in a finally block: the later exception is the handler's.
                failure = error;
            }
        }

        ConnectionContext connection = state.Connection;
        ByteStreamWriter writer = state.Writer!;
        CancellationToken stopping = state.Stopping;
        if (failure is not null)
        {
            OnFailed(connection, writer, failure, stopping);
        }

        var link = connection.Features.Get<IByteStreamTransportFeature>();
        if (stopping.IsCancellationRequested)
        {
            link?.Close(ConnectionCloseReason.Drained);
        }

        writer.Close();
        if (state.OnServed())
        {
            state.RequestClose(_logger);
        }

        if (link is not null)
        {
            await ConnectionLink.WaitForEndAsync(connection).ConfigureAwait(false);
        }

        writer.Reader!.Detach();
    }

    // Not OnConnectedAsync, which a derived class may override around its base.
    private Task Start(ConnectionContext connection) => Start(ConnectionState.Get(connection)!);

    /// <summary>Makes the pair and calls the handler. Returns its task: the caller calls <see cref="CompleteAsync"/>.</summary>
    private Task Start(ConnectionState state)
    {
        ConnectionContext connection = state.Connection;
        // Half-close and prompt flushes, also where Kestrel's own HTTP would have neither.
        (connection.Features.Get<IConnectionProgress>() as IKestrelConventions)?.FollowsKestrel = false;
        var reader = new ByteStreamReader(connection.Transport.Input, _limit);
        var writer = new ByteStreamWriter(connection.Transport.Output, reader, connection, _logger, DeferredFlush.Shared);
        state.Writer = writer;
        state.Handler = this;
        // As Kestrel does for its own: without a logger no scope is read.
        state.LogScope = _logger.IsEnabled(LogLevel.Critical) ? _logger.BeginScope(state) : null;
        return _clientConnected(reader, writer, state.Stopping);
    }

    /// <summary>Runs the handler within middleware that has work after it, such as TLS.</summary>
    private async Task RunAsync(ConnectionState state)
    {
        Exception? failure = null;
        try
        {
            await Start(state).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            failure = error;
        }

        await CompleteAsync(state, failure).ConfigureAwait(false);
        state.LogScope?.Dispose();
    }

    private void OnFailed(ConnectionContext connection, ByteStreamWriter writer, Exception failure, CancellationToken stopping)
    {
        ByteStreamReader reader = writer.Reader!;
        switch (failure)
        {
            case OperationCanceledException when stopping.IsCancellationRequested:
                // How most handlers stop: a read or a wait was given the token. What was written is delivered.
                ConnectionLog.HandlerStopped(_logger, connection.ConnectionId);
                break;
            case Exception error when connection.Features.Get<TlsUpgradeFailure>() is TlsUpgradeFailure upgrade && ReferenceEquals(upgrade.Error, error):
                ConnectionLog.HandshakeFailed(_tlsLogger, connection, upgrade.Reason, upgrade.Explanation, upgrade.ServerName);
                // A failed handshake has begun to close the connection, which delivers the alert. Refused plain bytes have not.
                Abort(writer, upgrade.Reason, upgrade.Error);
                break;
            case IncompleteReadException incomplete when ReferenceEquals(incomplete.Reader, reader):
                ConnectionLog.ReadIncomplete(_logger, connection.ConnectionId, incomplete.Message);
                // Between two messages a clean end is no error. Within one the peer must not take the end for an answer.
                if (incomplete.Partial.Length > 0)
                {
                    Abort(writer, ConnectionCloseReason.IncompleteMessage, incomplete);
                }

                break;
            case LimitOverrunException over when ReferenceEquals(over.Reader, reader):
                ConnectionLog.LimitExceeded(_logger, connection.ConnectionId, over.Message);
                writer.Abort(over.Reason, over);
                break;
            case InvalidFrameException invalid when ReferenceEquals(invalid.Reader, reader):
                ConnectionLog.FrameInvalid(_logger, connection.ConnectionId, invalid.Message);
                writer.Abort(ConnectionCloseReason.InvalidFrame, invalid);
                break;
            case TlsTruncatedException when IsLoss(failure, reader, writer, connection):
                ConnectionLog.ConnectionTruncated(_logger, connection.ConnectionId);
                Abort(writer, ConnectionCloseReason.TlsTruncated, null);
                break;
            case Exception lost when IsLoss(lost, reader, writer, connection):
                ConnectionLog.ConnectionLost(_logger, connection.ConnectionId, lost.Message);
                Abort(writer, ConnectionCloseReason.Aborted, null);
                break;
            default:
                ConnectionLog.HandlerFailed(_logger, failure, connection.ConnectionId);
                writer.Abort(failure is LimitOverrunException ? ConnectionCloseReason.LimitExceeded : ConnectionCloseReason.HandlerError, failure);
                break;
        }
    }

    /// <summary>Aborts, except after a close from this side, which a waiting drain throws too: the close continues to deliver what was written.</summary>
    private static void Abort(ByteStreamWriter writer, ConnectionCloseReason reason, Exception? cause)
    {
        if (!writer.IsClosedHere)
        {
            writer.Abort(reason, cause);
        }
    }

    /// <summary>
    /// Whether the handler only passes on that its own connection is lost. The loss of another connection, which the handler has opened, is a
    /// failure like any other.
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
            ? writer.IsClosing || link.CloseReason != ConnectionCloseReason.None
            : error is ConnectionResetException || connection.ConnectionClosed.IsCancellationRequested;
    }
}
