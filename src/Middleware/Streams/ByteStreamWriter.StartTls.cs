using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using ByteStreams.Tls;

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
    /// <param name="cancellationToken">Ends the handshake; the connection is closed then.</param>
    /// <returns>Done when the handshake is.</returns>
    /// <exception cref="InvalidDataException">
    /// The client has sent plain bytes beyond what was read. They are not taken for encrypted ones (command injection into
    /// STARTTLS, CVE-2011-0411); the connection is still plain.
    /// </exception>
    /// <exception cref="System.Security.Authentication.AuthenticationException">The handshake failed or took over 60 s; the connection is closed.</exception>
    /// <exception cref="InvalidOperationException">A read waits, another upgrade is at work, or the connection is closing.</exception>
    public Task StartTlsAsync(SslServerAuthenticationOptions options, CancellationToken cancellationToken = default) =>
        StartTlsAsync(options, asServer: true, cancellationToken);

    /// <summary>Upgrades the connection to TLS, as its client.</summary>
    /// <param name="options">At least the <c>TargetHost</c> that the server's certificate must name.</param>
    /// <param name="cancellationToken">Ends the handshake; the connection is closed then.</param>
    /// <returns>Done when the handshake is.</returns>
    /// <exception cref="System.Security.Authentication.AuthenticationException">The handshake failed or took over 60 s; the connection is closed.</exception>
    /// <exception cref="InvalidOperationException">A read waits, another upgrade is at work, or the connection is closing.</exception>
    public Task StartTlsAsync(SslClientAuthenticationOptions options, CancellationToken cancellationToken = default) =>
        StartTlsAsync(options, asServer: false, cancellationToken);

    private async Task StartTlsAsync(object options, bool asServer, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (_connection is null || _reader is null)
        {
            throw new NotSupportedException("StartTlsAsync needs a reader and a writer over a connection, not over a bare pipe.");
        }

        await DrainAsync(cancellationToken).ConfigureAwait(false);
        PipeWriter plain = BeginUpgrade();
        PipeReader? input = null;
        PipeWriter? output = null;
        bool reading = false;
        try
        {
            ReadOnlySequence<byte> rest = await _reader.BeginUpgradeAsync(nameof(StartTlsAsync)).ConfigureAwait(false);
            reading = true;
            if (asServer && !rest.IsEmpty && rest.FirstSpan[0] != TlsHandshakeRecord)
            {
                throw new InvalidDataException(
                    $"{rest.Length} plain bytes arrived before the TLS handshake and were not read; they are refused, because whoever "
                    + "sent them may not be who speaks TLS next (command injection). Answer the client before it may send more.");
            }

            var below = new DuplexPipe(_connection.Transport.Input, plain);
            try
            {
                TlsTransport tls = await TlsTransport.AuthenticateAsync(_connection, below, options, options, TlsSettings.Default, cancellationToken)
                    .ConfigureAwait(false);
                tls.Install();
                (input, output) = (tls.Input, tls.Output);
            }
            catch
            {
                _connection.Features.Get<IByteStreamTransportFeature>()?.Close(ConnectionEndReason.TlsHandshakeFailed);
                throw;
            }
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

    private sealed record DuplexPipe(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
