using System.IO.Pipelines;
using System.Net.Security;
using System.Security.Authentication;
using ByteStreams.Tls.OpenSsl;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>Performs TLS handshakes with the engine of the settings, and translates errors to those of the contract.</summary>
internal static class TlsHandshake
{
    /// <summary>Performs the handshake over a connection's current pipe.</summary>
    /// <param name="connection">The connection. Its <c>Transport</c> is not replaced: see <see cref="TlsTransport.Install"/>.</param>
    /// <param name="below">The pipe of the encrypted bytes.</param>
    /// <param name="options">
    /// A server's <see cref="TlsServerSelection"/>, or a client's <see cref="SslClientAuthenticationOptions"/>.
    /// </param>
    /// <param name="shown">The options that <c>GetExtraInfo("sslcontext")</c> returns.</param>
    /// <param name="settings">The timeouts and limits.</param>
    /// <param name="handshake">Of a server: receives the reason of a rejection.</param>
    /// <param name="cancellationToken">Cancels the handshake. The connection is unusable afterwards.</param>
    /// <exception cref="AuthenticationException">The handshake failed or timed out, or the peer closed the connection.</exception>
    /// <exception cref="ConnectionResetException">The peer reset the connection, or it was closed locally.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; it is the exception's.</exception>
    /// <exception cref="PlatformNotSupportedException">The engine of the settings cannot perform this handshake.</exception>
    public static async Task<TlsTransport> AuthenticateAsync(
        ConnectionContext connection, IDuplexPipe below, object options, object shown, TlsSettings settings, TlsHandshakeContext? handshake,
        CancellationToken cancellationToken)
    {
        bool usesOpenSsl = TlsEngines.UsesOpenSsl(
            settings.Engine, () => options is SslClientAuthenticationOptions client ? TlsEngines.FindUnsupported(client) : handshake?.Unsupported);
        using var timeout = new CancellationTokenSource(settings.HandshakeTimeout, settings.TimeProvider);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            if (usesOpenSsl)
            {
                OpenSslSession session = await OpenSslHandshake.RunAsync(below, options, connection, settings, handshake, linked.Token).ConfigureAwait(false);
                return new TlsTransport(
                    connection, new OpenSslChannel(session), new TlsFeatures(TlsNegotiated.From(session.Side)), below, settings, shown);
            }

            return await AuthenticateWithSslStreamAsync(connection, below, options, shown, settings, handshake, linked.Token).ConfigureAwait(false);
        }
        catch (Exception error)
        {
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

    private static async Task<TlsTransport> AuthenticateWithSslStreamAsync(
        ConnectionContext connection, IDuplexPipe below, object options, object shown, TlsSettings settings, TlsHandshakeContext? handshake,
        CancellationToken cancellationToken)
    {
        var raw = new EncryptedPipeStream(below.Input, below.Output) { MaxHandshakeSize = settings.MaxHandshakeSize };
        var stream = new SslStream(raw, leaveInnerStreamOpen: true);
        try
        {
            await (options switch
            {
                TlsServerSelection select => stream.AuthenticateAsServerAsync(Adapt(select, handshake), null, cancellationToken),
                SslClientAuthenticationOptions client => stream.AuthenticateAsClientAsync(client, cancellationToken),
                _ => throw new ArgumentException("Server or client options are required.", nameof(options)),
            }).ConfigureAwait(false);
            return new TlsTransport(
                connection, new SslStreamChannel(stream, raw), new SslStreamFeatures(TlsNegotiated.From(stream), stream), below, settings, shown);
        }
        catch
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private static ServerOptionsSelectionCallback Adapt(TlsServerSelection select, TlsHandshakeContext? handshake)
    {
        handshake?.AwaitHello();
        return (_, hello, _, _) =>
        {
            string? name = string.IsNullOrEmpty(hello.ServerName) ? null : hello.ServerName;
            handshake?.OnHello(name);
            return new(select(name));
        };
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
