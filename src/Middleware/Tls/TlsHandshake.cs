using System.IO.Pipelines;
using System.Net.Security;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>Performs TLS handshakes, and translates SslStream's errors to those of the contract.</summary>
internal static class TlsHandshake
{
    /// <summary>Performs the handshake over a connection's current pipe.</summary>
    /// <param name="connection">The connection. Its <c>Transport</c> is not replaced: see <see cref="TlsTransport.Install"/>.</param>
    /// <param name="below">The pipe of the encrypted bytes.</param>
    /// <param name="options">
    /// <see cref="SslServerAuthenticationOptions"/>, <see cref="ServerOptionsSelectionCallback"/> or <see cref="SslClientAuthenticationOptions"/>.
    /// </param>
    /// <param name="shown">The options that <c>GetExtraInfo("sslcontext")</c> returns.</param>
    /// <param name="settings">The timeouts and limits.</param>
    /// <param name="handshake">Of a server: receives the reason of a rejection.</param>
    /// <param name="cancellationToken">Cancels the handshake. The connection is unusable afterwards.</param>
    /// <exception cref="AuthenticationException">The handshake failed or timed out, or the peer closed the connection.</exception>
    /// <exception cref="ConnectionResetException">The peer reset the connection, or it was closed locally.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; it is the exception's.</exception>
    public static async Task<TlsTransport> AuthenticateAsync(
        ConnectionContext connection, IDuplexPipe below, object options, object shown, TlsSettings settings, TlsHandshakeContext? handshake,
        CancellationToken cancellationToken)
    {
        var raw = new EncryptedPipeStream(below.Input, below.Output) { MaxHandshakeSize = settings.MaxHandshakeSize };
        var stream = new SslStream(raw, leaveInnerStreamOpen: true);
        using var timeout = new CancellationTokenSource(settings.HandshakeTimeout, settings.TimeProvider);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            await (options switch
            {
                SslServerAuthenticationOptions server => stream.AuthenticateAsServerAsync(server, linked.Token),
                ServerOptionsSelectionCallback select => stream.AuthenticateAsServerAsync(select, null, linked.Token),
                SslClientAuthenticationOptions client => stream.AuthenticateAsClientAsync(client, linked.Token),
                _ => throw new ArgumentException("Server or client options are required.", nameof(options)),
            }).ConfigureAwait(false);
            return new TlsTransport(connection, stream, raw, below, settings, shown);
        }
        catch (Exception error)
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            if (error is OperationCanceledException cancelled)
            {
                // The caller recognises its cancellation by its own token, not by the linked one.
                throw cancellationToken.IsCancellationRequested ? new OperationCanceledException(cancelled.Message, cancelled, cancellationToken)
                    : timeout.IsCancellationRequested ? new AuthenticationException(
                        $"The TLS handshake timed out after {settings.HandshakeTimeout.TotalSeconds:0.###} s.", cancelled)
                    : ClosedLocally(cancelled);
            }

            if (Translate(error, connection, handshake) is Exception translated)
            {
                throw translated;
            }

            throw;
        }
    }

    /// <summary>Returns the error that the caller gets; null for the original one.</summary>
    private static Exception? Translate(Exception error, ConnectionContext connection, TlsHandshakeContext? handshake)
    {
        switch (error)
        {
            case InvalidOperationException when connection.Features.Get<IByteStreamTransportFeature>() is { CloseReason: not ConnectionCloseReason.None }:
                // A local close has completed the pipe during the handshake.
                return ClosedLocally(error);
            case TlsHandshakeSizeException:
                handshake?.Reject(ConnectionCloseReason.TlsHandshakeFailed, error.Message);
                return new AuthenticationException(error.Message, error);
            case ConnectionResetException:
                return null;
            case IOException:
                return new AuthenticationException($"The peer closed the connection during the TLS handshake, or does not use TLS: {error.Message}", error);
            case not (AuthenticationException or ConnectionAbortedException) when handshake is { IsAwaitingHello: true }:
                // The original text is about this side: an index, a missing certificate.
                const string NoHello = "The peer sent no valid ClientHello.";
                handshake.Reject(ConnectionCloseReason.TlsHandshakeFailed, NoHello);
                return new AuthenticationException(NoHello, error);
            default:
                return null;
        }
    }

    private static ConnectionResetException ClosedLocally(Exception cause) => new("The connection was closed from this side.", cause);
}
