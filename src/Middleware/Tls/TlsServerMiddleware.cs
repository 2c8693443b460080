using System.Net.Security;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Tls;

/// <summary>Speaks TLS with the client before the next middleware sees the connection.</summary>
internal sealed class TlsServerMiddleware(
    ConnectionDelegate next, SslServerAuthenticationOptions options, TlsTimeouts timeouts, ILogger logger)
{
    public async Task OnConnectionAsync(ConnectionContext context)
    {
        TlsTransport tls;
        try
        {
            tls = await TlsTransport.AuthenticateAsync(context, context.Transport, options, timeouts, CancellationToken.None)
                .ConfigureAwait(false);
        }
        catch (Exception error) when (error is AuthenticationException or IOException or OperationCanceledException)
        {
            // The alert that says why has been written; a clean close delivers it.
            TlsLog.HandshakeFailed(logger, context.ConnectionId, (error.InnerException ?? error).Message);
            context.Features.Get<IByteStreamTransportFeature>()?.Close(ConnectionEndReason.TlsHandshakeFailed);
            return;
        }

        tls.Install();
        try
        {
            await next(context).ConfigureAwait(false);
        }
        finally
        {
            await tls.CloseAsync(ConnectionEndReason.None).ConfigureAwait(false);
            tls.Uninstall();
        }
    }
}
