using ByteStreams.Connections;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Tls;

/// <summary>Speaks TLS with the client before the next middleware sees the connection.</summary>
/// <param name="next">The next middleware.</param>
/// <param name="options">What a handshake is made with: see <see cref="TlsTransport.AuthenticateAsync"/>.</param>
/// <param name="shown">The options as <c>GetExtraInfo("sslcontext")</c> shows them.</param>
/// <param name="settings">Times.</param>
/// <param name="handshakes">The bound on handshakes in progress; null for none.</param>
/// <param name="endpoint">The name of the endpoint under which handshakes are counted, called once it listens.</param>
/// <param name="metrics">What counts them.</param>
/// <param name="logger">Told why handshakes fail.</param>
internal sealed class TlsServerMiddleware(
    ConnectionDelegate next, Func<TlsAttempt, object> options, object shown, TlsSettings settings, TlsHandshakes? handshakes,
    Func<string> endpoint, ByteStreamMetrics metrics, ILogger logger)
{
    public async Task OnConnectionAsync(ConnectionContext context)
    {
        TlsTransport? tls = await HandshakeAsync(context).ConfigureAwait(false);
        if (tls is null)
        {
            return;
        }

        ConnectionState.Get(context)?.EnsureMetadata().Tls = TlsFacts.Of(tls.SslStream);
        tls.Install();
        try
        {
            await next(context).ConfigureAwait(false);
        }
        finally
        {
            if (tls.EndedWithoutCloseNotify)
            {
                TlsLog.ClientTruncated(logger, context.ConnectionId);
                metrics.TlsTruncated(endpoint(), upstream: null);
            }

            await tls.CloseAsync(ConnectionEndReason.None).ConfigureAwait(false);
            tls.Uninstall();
        }
    }

    private async ValueTask<TlsTransport?> HandshakeAsync(ConnectionContext context)
    {
        var attempt = new TlsAttempt();
        EndpointCounters counted = metrics.Endpoint(endpoint());
        long began = settings.Time.GetTimestamp();
        using TlsHandshakes.Handshake? place = handshakes?.Begin();
        counted.BeginHandshake();
        TlsFailure failure;
        try
        {
            TlsTransport tls = await TlsTransport.AuthenticateAsync(
                context, context.Transport, options(attempt), shown, settings, attempt, place?.Evicted ?? CancellationToken.None).ConfigureAwait(false);
            metrics.HandshakeEnded(
                counted.Name, TlsFacts.VersionOf(tls.SslStream.SslProtocol), ConnectionEndReason.None, settings.Time.GetElapsedTime(began));
            return tls;
        }
        catch (OperationCanceledException)
        {
            failure = new(ConnectionEndReason.TlsHandshakeLimit, "it was the oldest of too many in progress (MaxHandshakes)", attempt.ServerName);
        }
        catch (Exception error) when (TlsFailure.From(error, attempt) is TlsFailure known)
        {
            failure = known;
        }
        finally
        {
            counted.EndHandshake();
        }

        // Where there is an alert that says why, it has been written, and a clean close delivers it. (On Linux SslStream has one for
        // what OpenSSL refuses, and none for a certificate that is refused here: to its client that is an end without close_notify.)
        ConnectionLog.HandshakeFailed(DebugLogger.For(context, logger), context, failure.Reason, failure.Explanation, failure.ServerName);
        metrics.HandshakeEnded(counted.Name, null, failure.Reason, settings.Time.GetElapsedTime(began));
        ConnectionLink.Of(context).Close(failure.Reason);
        return null;
    }
}
