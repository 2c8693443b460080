using ByteStreams.Connections;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Tls;

/// <summary>Performs the TLS handshake with the client, and replaces the connection's transport for the next middleware.</summary>
/// <param name="next">The next middleware.</param>
/// <param name="options">Returns the options of a handshake: see <see cref="TlsHandshake.AuthenticateAsync"/>.</param>
/// <param name="shown">The options that <c>GetExtraInfo("sslcontext")</c> returns.</param>
/// <param name="settings">The timeouts and limits.</param>
/// <param name="limit">The limit of handshakes in progress; null for none.</param>
/// <param name="endpoint">Returns the endpoint's name in metrics. Called only after the endpoint is bound.</param>
/// <param name="metrics">Counts the handshakes.</param>
/// <param name="logger">The logger.</param>
internal sealed class TlsServerMiddleware(
    ConnectionDelegate next, Func<TlsHandshakeContext, object> options, object shown, TlsSettings settings, TlsHandshakeLimit? limit,
    Func<string> endpoint, ByteStreamMetrics metrics, ILogger logger)
{
    public async Task OnConnectionAsync(ConnectionContext context)
    {
        TlsTransport? tls = await HandshakeAsync(context).ConfigureAwait(false);
        if (tls is null)
        {
            return;
        }

        ConnectionState.Get(context)?.EnsureMetadata().Tls = TlsMetadataReader.Read(tls.Features);
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

            await tls.CloseAsync(ConnectionCloseReason.None).ConfigureAwait(false);
            tls.Uninstall();
        }
    }

    private async ValueTask<TlsTransport?> HandshakeAsync(ConnectionContext context)
    {
        var handshake = new TlsHandshakeContext();
        EndpointCounters counters = metrics.Endpoint(endpoint());
        long began = settings.TimeProvider.GetTimestamp();
        using TlsHandshakeLimit.Handshake? slot = limit?.Begin();
        counters.BeginHandshake();
        TlsFailure failure;
        try
        {
            TlsTransport tls = await TlsHandshake.AuthenticateAsync(
                context, context.Transport, options(handshake), shown, settings, handshake, slot?.Evicted ?? CancellationToken.None).ConfigureAwait(false);
            metrics.HandshakeEnded(
                counters.Name, TlsMetadataReader.GetVersion(tls.Features.Protocol), ConnectionCloseReason.None, settings.TimeProvider.GetElapsedTime(began));
            return tls;
        }
        catch (OperationCanceledException)
        {
            failure = new(ConnectionCloseReason.TlsHandshakeLimit, "evicted as the oldest handshake at the limit (MaxHandshakes)", handshake.ServerName);
        }
        catch (Exception error) when (TlsFailure.From(error, handshake) is TlsFailure known)
        {
            failure = known;
        }
        finally
        {
            counters.EndHandshake();
        }

        metrics.HandshakeEnded(counters.Name, null, failure.Reason, settings.TimeProvider.GetElapsedTime(began));

        // A clean close delivers the alert, if one was written. (On Linux SslStream writes an alert for an error of OpenSSL, and none for a
        // certificate that this side rejects: its client sees EOF without close_notify.)
        ConnectionLog.HandshakeFailed(DebugLogger.For(context, logger), context, failure.Reason, failure.Explanation, failure.ServerName);
        ConnectionLink.Of(context).Close(failure.Reason);
        return null;
    }
}
