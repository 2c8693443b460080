using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using ByteStreams.Streams;
using ByteStreams.Tls;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <summary>The upgrade of a plain connection to TLS (STARTTLS).</summary>
public static partial class ByteStreamWriterTlsExtensions
{
    /// <summary>The content type with which every TLS handshake record begins (RFC 8446, 5.1).</summary>
    private const byte TlsHandshakeRecord = 22;

    /// <summary>
    /// Upgrades the connection to TLS as a server (STARTTLS). Bytes written before the call are sent first, in plain text. The reader and the
    /// writer stay the same.
    /// </summary>
    /// <param name="writer">The writer of a connection.</param>
    /// <param name="options">The options. A certificate is required.</param>
    /// <param name="cancellationToken">
    /// Cancels the upgrade. Before the handshake, while earlier bytes are still being sent, the connection stays plain and open and no byte is
    /// lost. During the handshake the connection is closed.
    /// </param>
    /// <returns>Completes with the handshake.</returns>
    /// <remarks>
    /// <para>
    /// Until the returned task has completed, writes, <see cref="ByteStreamWriter.WriteEof"/>, reads and a second upgrade throw
    /// <see cref="InvalidOperationException"/>. <see cref="ByteStreamWriter.Close"/> and <see cref="ByteStreamWriter.Abort()"/> cancel the upgrade.
    /// </para>
    /// <para>
    /// A failure before the handshake leaves the connection plain and open: wrong arguments, an <see cref="InvalidOperationException"/>, rejected
    /// plain bytes, cancellation. A failure of the handshake closes the connection; <see cref="ByteStreamWriter.IsClosing"/> is true then.
    /// </para>
    /// <para>
    /// The timeouts and whether close_notify is required are those of the connection's options:
    /// <c>TlsHandshakeTimeout</c> (10 s for a server, 60 s for a client), <c>TlsShutdownTimeout</c> (30 s) and <c>TlsRequireCloseNotify</c> (true) of
    /// <see cref="ByteStreamServerOptions"/> or <see cref="ByteStreamClientOptions"/>; on Kestrel's transport the defaults.
    /// </para>
    /// </remarks>
    /// <exception cref="ArgumentException">The options have no certificate and no callback that selects one.</exception>
    /// <exception cref="InvalidDataException">
    /// The client has sent plain bytes that were not read. They are rejected, because an attacker may have injected them (CVE-2011-0411). The
    /// connection stays plain.
    /// </exception>
    /// <exception cref="System.Security.Authentication.AuthenticationException">The handshake failed or timed out (<c>TlsHandshakeTimeout</c>); the connection is closed.</exception>
    /// <exception cref="ConnectionResetException">The peer reset the connection, or it was closed from this side.</exception>
    /// <exception cref="InvalidOperationException">A read or another upgrade is pending, or this direction is closed.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; it is the exception's.</exception>
    public static Task StartTlsAsync(this ByteStreamWriter writer, SslServerAuthenticationOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ArgumentNullException.ThrowIfNull(options);
        if (options is { ServerCertificate: null, ServerCertificateContext: null, ServerCertificateSelectionCallback: null })
        {
            throw new ArgumentException("A server needs a ServerCertificate, a ServerCertificateContext or a ServerCertificateSelectionCallback.", nameof(options));
        }

        var handshake = new TlsHandshakeContext();
        return StartTlsAsync(writer, handshake.Observe(options), options, handshake, cancellationToken);
    }

    /// <summary>Upgrades the connection to TLS as a client (STARTTLS).</summary>
    /// <param name="writer">The writer of a connection.</param>
    /// <param name="options">The options. The <c>TargetHost</c>, which the server's certificate must have, is required.</param>
    /// <param name="cancellationToken">As <see cref="StartTlsAsync(ByteStreamWriter, SslServerAuthenticationOptions, CancellationToken)"/>.</param>
    /// <returns>Completes with the handshake.</returns>
    /// <remarks>As <see cref="StartTlsAsync(ByteStreamWriter, SslServerAuthenticationOptions, CancellationToken)"/>.</remarks>
    /// <exception cref="System.Security.Authentication.AuthenticationException">The handshake failed or timed out (<c>TlsHandshakeTimeout</c>); the connection is closed.</exception>
    /// <exception cref="ConnectionResetException">The peer reset the connection, or it was closed from this side.</exception>
    /// <exception cref="InvalidOperationException">A read or another upgrade is pending, or this direction is closed.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; it is the exception's.</exception>
    public static Task StartTlsAsync(this ByteStreamWriter writer, SslClientAuthenticationOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ArgumentNullException.ThrowIfNull(options);
        return StartTlsAsync(writer, options, options, new TlsHandshakeContext(), cancellationToken);
    }

    /// <summary>Upgrades the connection to TLS as a client (STARTTLS), with certificates from files.</summary>
    /// <param name="writer">The writer of a connection.</param>
    /// <param name="options">
    /// The options. The <see cref="TlsClientOptions.ServerName"/>, which the server's certificate must have, is required. The files are read by each
    /// call; for many connections, call <see cref="TlsClientOptions.CreateAuthenticationOptions"/> once.
    /// </param>
    /// <param name="cancellationToken">As <see cref="StartTlsAsync(ByteStreamWriter, SslServerAuthenticationOptions, CancellationToken)"/>.</param>
    /// <returns>Completes with the handshake.</returns>
    /// <exception cref="ArgumentException">The name or a file is missing or not valid; the message names it. The connection stays plain.</exception>
    /// <remarks>Other errors are those of <see cref="StartTlsAsync(ByteStreamWriter, SslClientAuthenticationOptions, CancellationToken)"/>.</remarks>
    public static Task StartTlsAsync(this ByteStreamWriter writer, TlsClientOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ArgumentNullException.ThrowIfNull(options);
        if (string.IsNullOrEmpty(options.ServerName))
        {
            throw new ArgumentException(
                "StartTlsAsync needs the ServerName that the server's certificate must have. Set TlsClientOptions.ServerName.", nameof(options));
        }

        return StartTlsAsync(writer, options.CreateAuthenticationOptions(), cancellationToken);
    }

    private static async Task StartTlsAsync(
        ByteStreamWriter writer, object options, object shown, TlsHandshakeContext handshake, CancellationToken cancellationToken)
    {
        if (writer.Transport is not ConnectionContext connection || writer.Reader is not ByteStreamReader reader)
        {
            throw new NotSupportedException("StartTlsAsync needs a reader and a writer over a connection, not over a bare pipe.");
        }

        cancellationToken.ThrowIfCancellationRequested();
        if (reader.Exception is Exception stored)
        {
            throw stored;
        }

        // No await before this line: the caller's next write must not be sent in plain text.
        Task drained = writer.BeginUpgrade();
        PipeReader? input = null;
        PipeWriter? output = null;
        bool reading = false;
        try
        {
            ReadOnlySequence<byte> rest = await reader.BeginUpgradeAsync(nameof(StartTlsAsync)).ConfigureAwait(false);
            reading = true;
            if (shown is SslServerAuthenticationOptions or TlsServerOptions && !rest.IsEmpty && rest.FirstSpan[0] != TlsHandshakeRecord)
            {
                throw Failed(
                    connection,
                    new InvalidDataException(
                        $"{rest.Length} plain bytes arrived before the TLS handshake and were not read; they are refused, because their "
                        + "sender may not be the peer that speaks TLS next (command injection). Answer the client before it may send more."),
                    new TlsFailure(ConnectionCloseReason.TlsHandshakeFailed, $"{rest.Length} plain bytes arrived before it", ServerName: null));
            }

            await drained.WaitAsync(cancellationToken).ConfigureAwait(false);
            TlsTransport tls = await HandshakeAsync(writer, connection, options, shown, handshake, GetSettings(connection, shown), cancellationToken).ConfigureAwait(false);
            tls.Install();
            (input, output) = (tls.Input, tls.Output);
        }
        finally
        {
            writer.EndUpgrade(output);
            if (reading)
            {
                reader.EndUpgrade(input);
            }
        }
    }

    private static async Task<TlsTransport> HandshakeAsync(
        ByteStreamWriter writer, ConnectionContext connection, object options, object shown, TlsHandshakeContext handshake, TlsSettings settings,
        CancellationToken cancellationToken)
    {
        try
        {
            return await TlsHandshake.AuthenticateAsync(
                connection, connection.Transport, options, shown, settings, handshake, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (writer.IsClosedHere)
        {
            if (error is OperationCanceledException or ConnectionResetException)
            {
                throw;
            }

            // Any error of the handshake, because the close has completed its pipe.
            throw new ConnectionResetException("The connection was closed from this side.", error);
        }
        catch (Exception error)
        {
            TlsFailure? failure = TlsFailure.From(error, handshake);
            // The transport delivers the alert. The writer is closed at once, so that nothing is sent in plain text.
            connection.Features.Get<IByteStreamTransportFeature>()?.Close(failure?.Reason ?? ConnectionCloseReason.TlsHandshakeFailed);
            writer.Close();
            if (failure is not null)
            {
                Failed(connection, error, failure);
            }

            throw;
        }
    }

    /// <summary>Records that the peer caused this error, for the log of a handler from which it escapes.</summary>
    private static Exception Failed(ConnectionContext connection, Exception error, TlsFailure failure)
    {
        connection.Features.Set(new TlsUpgradeFailure(error, failure.Reason, failure.Explanation, failure.ServerName));
        return error;
    }
}
