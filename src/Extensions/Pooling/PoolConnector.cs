using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Polly;

namespace ByteStreams.Pooling;

/// <summary>Opens the connections of a pool, by its resilience pipeline. Thread-safe.</summary>
internal sealed class PoolConnector(
    string name, PoolTarget target, ByteStreamClientOptions options, ResiliencePipeline resilience, ClientMetrics metrics, TimeProvider time, ILogger logger)
{
    private volatile Exception? _lastError;

    /// <summary>The error of the last connect attempt; null after a success.</summary>
    public Exception? LastError => _lastError;

    public async ValueTask<PooledConnection> ConnectAsync(CancellationToken cancellationToken) => await resilience
        .ExecuteAsync(static (connector, token) => connector.ConnectOnceAsync(token), this, cancellationToken).ConfigureAwait(false);

    /// <summary>Whether the network or the service caused an error, so that another attempt may succeed.</summary>
    public static bool IsTransient(Exception error) => error is IOException or SocketException or TimeoutException or ConnectionAbortedException;

    /// <summary>The value of <c>error.type</c>. It contains no text of the peer.</summary>
    public static string GetErrorType(Exception error) => error switch
    {
        TimeoutException => "timeout",
        AuthenticationException => "tls",
        OperationCanceledException => "cancelled",
        SocketException { SocketErrorCode: not SocketError.SocketError } socket => socket.SocketErrorCode.ToString(),
        { InnerException: SocketException { SocketErrorCode: not SocketError.SocketError } inner } => inner.SocketErrorCode.ToString(),
        _ => error.GetType().FullName!,
    };

    private async ValueTask<PooledConnection> ConnectOnceAsync(CancellationToken cancellationToken)
    {
        using Activity? activity = metrics.StartActivity("bytestreams.client.connect");
        long began = time.GetTimestamp();
        string address = target.Host;
        try
        {
            EndPoint endPoint = await target.Endpoints.NextAsync(cancellationToken).ConfigureAwait(false);
            address = endPoint.ToString()!;
            ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(endPoint, options, cancellationToken).ConfigureAwait(false);
            TimeSpan duration = time.GetElapsedTime(began);
            metrics.Connected(duration, null);
            PoolLog.Connected(logger, name, address, duration.TotalMilliseconds);
            _lastError = null;
            if (activity is not null && connection.Writer.RemoteEndPoint is IPEndPoint peer)
            {
                activity.SetTag("network.peer.address", peer.Address.ToString());
                activity.SetTag("network.peer.port", peer.Port);
            }

            return new PooledConnection(connection, time.GetTimestamp());
        }
        catch (Exception error)
        {
            metrics.Connected(time.GetElapsedTime(began), GetErrorType(error));
            ClientMetrics.Fail(activity, error);
            if (error is not OperationCanceledException)
            {
                _lastError = error;
                PoolLog.ConnectFailed(logger, name, address, error.Message);
            }

            throw;
        }
    }
}
