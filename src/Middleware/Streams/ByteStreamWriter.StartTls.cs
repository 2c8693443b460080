using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using ByteStreams.Streams;
using ByteStreams.Tls;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <content>The upgrade of a plain connection to TLS.</content>
public sealed partial class ByteStreamWriter
{
    /// <summary>The content type with which every TLS handshake record begins (RFC 8446, 5.1).</summary>
    private const byte TlsHandshakeRecord = 22;

    /// <summary>
    /// Upgrades the connection to TLS, as its server. Everything written before leaves first, in the clear; the reader and the
    /// writer stay the same.
    /// </summary>
    /// <param name="options">At least a certificate.</param>
    /// <param name="cancellationToken">
    /// Ends the upgrade. Until the handshake begins, which is while bytes written before still leave, the connection stays plain and
    /// open and no byte is lost; from then on it is closed.
    /// </param>
    /// <returns>Done when the handshake is.</returns>
    /// <remarks>
    /// <para>
    /// From the call on, every write, <see cref="WriteEof"/>, every read and a second upgrade is an
    /// <see cref="InvalidOperationException"/>, until the returned task has completed. <see cref="Close"/> and <see cref="Abort()"/>
    /// end the upgrade.
    /// </para>
    /// <para>
    /// An upgrade that fails before its handshake leaves the connection as it was, plain and open: wrong arguments, an
    /// <see cref="InvalidOperationException"/>, refused plain bytes, cancellation. One that fails in its handshake closes the
    /// connection; <see cref="IsClosing"/> tells the two apart.
    /// </para>
    /// <para>
    /// The timeouts and whether close_notify is required are those of the connection's options:
    /// <c>TlsHandshakeTimeout</c> (10 s for a server, 60 s for a client), <c>TlsShutdownTimeout</c> (30 s) and <c>TlsRequireCloseNotify</c> (true) of
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
    public Task StartTlsAsync(SslServerAuthenticationOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options is { ServerCertificate: null, ServerCertificateContext: null, ServerCertificateSelectionCallback: null })
        {
            throw new ArgumentException("A server needs a ServerCertificate, a ServerCertificateContext or a ServerCertificateSelectionCallback.", nameof(options));
        }

        var attempt = new TlsAttempt();
        return StartTlsAsync(attempt.Observe(options), options, attempt, cancellationToken);
    }

    /// <summary>Upgrades the connection to TLS, as its client.</summary>
    /// <param name="options">At least the <c>TargetHost</c> that the server's certificate must name.</param>
    /// <param name="cancellationToken">As <see cref="StartTlsAsync(SslServerAuthenticationOptions, CancellationToken)"/>.</param>
    /// <returns>Done when the handshake is.</returns>
    /// <remarks>As <see cref="StartTlsAsync(SslServerAuthenticationOptions, CancellationToken)"/>.</remarks>
    /// <exception cref="System.Security.Authentication.AuthenticationException">The handshake failed or took longer than <c>TlsHandshakeTimeout</c>; the connection is closed.</exception>
    /// <exception cref="ConnectionResetException">The connection is lost, or closed from this side, also while this waits.</exception>
    /// <exception cref="InvalidOperationException">A read waits, another upgrade is at work, or this direction has ended.</exception>
    /// <exception cref="OperationCanceledException">The token fired; it is the exception's.</exception>
    public Task StartTlsAsync(SslClientAuthenticationOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        return StartTlsAsync(options, options, new TlsAttempt(), cancellationToken);
    }

    private async Task StartTlsAsync(object options, object shown, TlsAttempt attempt, CancellationToken cancellationToken)
    {
        if (_connection is null || _reader is null)
        {
            throw new NotSupportedException("StartTlsAsync needs a reader and a writer over a connection, not over a bare pipe.");
        }

        cancellationToken.ThrowIfCancellationRequested();
        if (_reader.Exception is Exception stored)
        {
            throw stored;
        }

        // No await comes before this: from the caller's next line on nothing else is written in the clear.
        Task drained = BeginUpgrade();
        PipeReader? input = null;
        PipeWriter? output = null;
        bool reading = false;
        try
        {
            ReadOnlySequence<byte> rest = await _reader.BeginUpgradeAsync(nameof(StartTlsAsync)).ConfigureAwait(false);
            reading = true;
            if (shown is SslServerAuthenticationOptions && !rest.IsEmpty && rest.FirstSpan[0] != TlsHandshakeRecord)
            {
                throw Failed(
                    new InvalidDataException(
                        $"{rest.Length} plain bytes arrived before the TLS handshake and were not read; they are refused, because their "
                        + "sender may not be the peer that speaks TLS next (command injection). Answer the client before it may send more."),
                    new TlsFailure(ConnectionEndReason.TlsHandshakeFailed, $"{rest.Length} plain bytes arrived before it", ServerName: null));
            }

            await drained.WaitAsync(cancellationToken).ConfigureAwait(false);
            TlsTransport tls = await HandshakeAsync(options, shown, attempt, cancellationToken).ConfigureAwait(false);
            tls.Install();
            (input, output) = (tls.Input, tls.Output);
        }
        finally
        {
            EndUpgrade(output);
            if (reading)
            {
                _reader.EndUpgrade(input);
            }
        }
    }

    private async Task<TlsTransport> HandshakeAsync(object options, object shown, TlsAttempt attempt, CancellationToken cancellationToken)
    {
        var below = new DuplexPipe(_connection!.Transport.Input, _output);
        try
        {
            return await TlsTransport.AuthenticateAsync(
                _connection, below, options, shown, TlsSettings.For(_connection), attempt, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (IsClosedHere)
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
            _link?.Close(failure?.Reason ?? ConnectionEndReason.TlsHandshakeFailed);
            Close();
            if (failure is not null)
            {
                Failed(error, failure);
            }

            throw;
        }
    }

    /// <summary>Notes that the peer has caused this error, for the log of a handler that lets it escape.</summary>
    private Exception Failed(Exception error, TlsFailure failure)
    {
        _connection!.Features.Set(new TlsUpgradeFailure(error, failure.Reason, failure.Explanation, failure.ServerName));
        return error;
    }

    private sealed record DuplexPipe(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
