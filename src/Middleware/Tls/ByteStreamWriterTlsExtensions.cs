using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using ByteStreams.Streams;
using ByteStreams.Tls;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <summary>The upgrade of a plain connection to TLS (STARTTLS).</summary>
public static class ByteStreamWriterTlsExtensions
{
    /// <summary>The content type with which every TLS handshake record begins (RFC 8446, 5.1).</summary>
    private const byte TlsHandshakeRecord = 22;

    /// <summary>
    /// Upgrades the connection to TLS, as its server. Everything written before leaves first, in the clear; the reader and the
    /// writer stay the same.
    /// </summary>
    /// <param name="writer">The writer of a connection.</param>
    /// <param name="options">At least a certificate.</param>
    /// <param name="cancellationToken">
    /// Ends the upgrade. Until the handshake begins, which is while bytes written before still leave, the connection stays plain and
    /// open and no byte is lost; from then on it is closed.
    /// </param>
    /// <returns>Done when the handshake is.</returns>
    /// <remarks>
    /// <para>
    /// From the call on, every write, <see cref="ByteStreamWriter.WriteEof"/>, every read and a second upgrade is an
    /// <see cref="InvalidOperationException"/>, until the returned task has completed. <see cref="ByteStreamWriter.Close"/> and <see cref="ByteStreamWriter.Abort()"/>
    /// end the upgrade.
    /// </para>
    /// <para>
    /// An upgrade that fails before its handshake leaves the connection as it was, plain and open: wrong arguments, an
    /// <see cref="InvalidOperationException"/>, refused plain bytes, cancellation. One that fails in its handshake closes the
    /// connection; <see cref="ByteStreamWriter.IsClosing"/> tells the two apart.
    /// </para>
    /// <para>
    /// The timeouts and whether close_notify is required are those of the connection's options:
    /// <c>TlsHandshakeTimeout</c> (60 s by default), <c>TlsShutdownTimeout</c> (30 s) and <c>TlsRequireCloseNotify</c> (true) of
    /// <see cref="ByteStreamServerOptions"/> or <see cref="ByteStreamClientOptions"/>; on Kestrel's stock transport the defaults.
    /// </para>
    /// </remarks>
    /// <exception cref="ArgumentException">The options have no certificate and no callback that selects one.</exception>
    /// <exception cref="InvalidDataException">
    /// The client has sent plain bytes beyond what was read. They are not taken for encrypted ones (command injection into
    /// STARTTLS, CVE-2011-0411); the connection is still plain.
    /// </exception>
    /// <exception cref="System.Security.Authentication.AuthenticationException">The handshake failed or took longer than <c>TlsHandshakeTimeout</c>; the connection is closed.</exception>
    /// <exception cref="ConnectionResetException">The connection is lost, or closed from this side, also while this waits.</exception>
    /// <exception cref="InvalidOperationException">A read waits, another upgrade is at work, or this direction has ended.</exception>
    /// <exception cref="OperationCanceledException">The token fired; it is the exception's.</exception>
    public static Task StartTlsAsync(this ByteStreamWriter writer, SslServerAuthenticationOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ArgumentNullException.ThrowIfNull(options);
        if (options is { ServerCertificate: null, ServerCertificateContext: null, ServerCertificateSelectionCallback: null })
        {
            throw new ArgumentException("A server needs a ServerCertificate, a ServerCertificateContext or a ServerCertificateSelectionCallback.", nameof(options));
        }

        var attempt = new TlsAttempt();
        return StartTlsAsync(writer, attempt.Observe(options), options, attempt, cancellationToken);
    }

    /// <summary>Upgrades the connection to TLS, as its client.</summary>
    /// <param name="writer">The writer of a connection.</param>
    /// <param name="options">At least the <c>TargetHost</c> that the server's certificate must name.</param>
    /// <param name="cancellationToken">As <see cref="StartTlsAsync(ByteStreamWriter, SslServerAuthenticationOptions, CancellationToken)"/>.</param>
    /// <returns>Done when the handshake is.</returns>
    /// <remarks>As <see cref="StartTlsAsync(ByteStreamWriter, SslServerAuthenticationOptions, CancellationToken)"/>.</remarks>
    /// <exception cref="System.Security.Authentication.AuthenticationException">The handshake failed or took longer than <c>TlsHandshakeTimeout</c>; the connection is closed.</exception>
    /// <exception cref="ConnectionResetException">The connection is lost, or closed from this side, also while this waits.</exception>
    /// <exception cref="InvalidOperationException">A read waits, another upgrade is at work, or this direction has ended.</exception>
    /// <exception cref="OperationCanceledException">The token fired; it is the exception's.</exception>
    public static Task StartTlsAsync(this ByteStreamWriter writer, SslClientAuthenticationOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ArgumentNullException.ThrowIfNull(options);
        return StartTlsAsync(writer, options, options, new TlsAttempt(), cancellationToken);
    }

    private static async Task StartTlsAsync(
        ByteStreamWriter writer, object options, object shown, TlsAttempt attempt, CancellationToken cancellationToken)
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

        // No await comes before this: from the caller's next line on nothing else is written in the clear.
        Task drained = writer.BeginUpgrade();
        PipeReader? input = null;
        PipeWriter? output = null;
        bool reading = false;
        try
        {
            ReadOnlySequence<byte> rest = await reader.BeginUpgradeAsync(nameof(StartTlsAsync)).ConfigureAwait(false);
            reading = true;
            if (shown is SslServerAuthenticationOptions && !rest.IsEmpty && rest.FirstSpan[0] != TlsHandshakeRecord)
            {
                throw Failed(
                    connection,
                    new InvalidDataException(
                        $"{rest.Length} plain bytes arrived before the TLS handshake and were not read; they are refused, because their "
                        + "sender may not be the peer that speaks TLS next (command injection). Answer the client before it may send more."),
                    new TlsFailure(ConnectionEndReason.TlsHandshakeFailed, $"{rest.Length} plain bytes arrived before it", ServerName: null));
            }

            await drained.WaitAsync(cancellationToken).ConfigureAwait(false);
            TlsTransport tls = await HandshakeAsync(writer, connection, options, shown, attempt, cancellationToken).ConfigureAwait(false);
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
        ByteStreamWriter writer, ConnectionContext connection, object options, object shown, TlsAttempt attempt, CancellationToken cancellationToken)
    {
        try
        {
            return await TlsTransport.AuthenticateAsync(
                connection, connection.Transport, options, shown, TlsSettings.For(connection), attempt, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (writer.IsClosedHere)
        {
            if (error is OperationCanceledException or ConnectionResetException)
            {
                throw;
            }

            // Whatever the handshake has met: the pipe was completed under it.
            throw new ConnectionResetException("The connection was closed from this side.", error);
        }
        catch (Exception error)
        {
            TlsFailure? failure = TlsFailure.From(error, attempt);
            // The transport delivers the alert; the writer is closed at once, so that nothing is written in the clear from here on.
            connection.Features.Get<IByteStreamTransportFeature>()?.Close(failure?.Reason ?? ConnectionEndReason.TlsHandshakeFailed);
            writer.Close();
            if (failure is not null)
            {
                Failed(connection, error, failure);
            }

            throw;
        }
    }

    /// <summary>Notes that the peer has caused this error, for the log of a handler that lets it escape.</summary>
    private static Exception Failed(ConnectionContext connection, Exception error, TlsFailure failure)
    {
        connection.Features.Set(new TlsUpgradeFailure(error, failure.Reason, failure.Explanation, failure.ServerName));
        return error;
    }
}
