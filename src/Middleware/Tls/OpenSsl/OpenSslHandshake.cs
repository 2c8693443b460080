using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using ByteStreams.Transport;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>Performs handshakes with OpenSSL.</summary>
internal static class OpenSslHandshake
{
    /// <summary>The first bit of a hello of SSL 2.0. OpenSSL accepts such a hello, and waits for its end.</summary>
    private const byte Ssl2HelloFlag = 0x80;

    /// <summary>Performs a handshake over a pipe.</summary>
    /// <param name="below">The pipe of encrypted bytes.</param>
    /// <param name="options">A <see cref="TlsServerSelection"/>, or <see cref="SslClientAuthenticationOptions"/>.</param>
    /// <param name="sender">The first argument of the options' callbacks.</param>
    /// <param name="settings">The limits and the clock.</param>
    /// <param name="handshake">Of a server: receives the ClientHello and the reason of a rejection.</param>
    /// <param name="cancellationToken">Cancels the handshake.</param>
    /// <exception cref="AuthenticationException">The handshake failed.</exception>
    /// <exception cref="IOException">The peer closed or reset the connection.</exception>
    public static async Task<OpenSslSession> RunAsync(
        IDuplexPipe below, object options, object sender, TlsSettings settings, TlsHandshakeContext? handshake, CancellationToken cancellationToken)
    {
        var input = new EncryptedInput(below.Input);
        OpenSslSession session = CreateSession(below, input, options, sender, settings, handshake);
        try
        {
            await RunAsync(session, settings, cancellationToken).ConfigureAwait(false);
            session.Side.ThrowIfRefused();
            return session;
        }
        catch
        {
            session.Dispose();
            input.Abandon();
            throw;
        }
    }

    private static OpenSslSession CreateSession(
        IDuplexPipe below, EncryptedInput input, object options, object sender, TlsSettings settings, TlsHandshakeContext? handshake)
    {
        switch (options)
        {
            case TlsServerSelection select:
                handshake ??= new TlsHandshakeContext();
                handshake.AwaitHello();
                TicketKeys tickets = TicketKeys.For(settings.TimeProvider);
                return new OpenSslSession(tickets.Context, input, below.Output, new OpenSslServerSide(select, handshake, tickets, sender));
            case SslClientAuthenticationOptions client:
                var side = new OpenSslClientSide(client, sender);
                return new OpenSslSession(side.Context, input, below.Output, side);
            default:
                throw new ArgumentException("Server or client options are required.", nameof(options));
        }
    }

    private static async Task RunAsync(OpenSslSession session, TlsSettings settings, CancellationToken cancellationToken)
    {
        EncryptedInput input = session.Input;
        while (true)
        {
            OpenSslStatus status = session.Handshake();
            LoopDispatch.NoteHandshake();
            if (session.HasOutput)
            {
                FlushResult flushed = await session.FlushAsync(cancellationToken).ConfigureAwait(false);
                if (flushed.IsCompleted && status != OpenSslStatus.Failed)
                {
                    throw IOutputFailure.Of(session.Output);
                }
            }

            switch (status)
            {
                case OpenSslStatus.Done:
                    input.Release();
                    return;
                case OpenSslStatus.NeedsInput when input.HasEnded:
                    throw new IOException("The peer closed the connection.");
                case OpenSslStatus.NeedsInput:
                    long left = settings.MaxHandshakeSize - input.Records.Received;
                    if (left <= 0)
                    {
                        throw new TlsHandshakeSizeException($"the peer sent more than {settings.MaxHandshakeSize} bytes in the handshake (MaxHandshakeSize)");
                    }

                    input.Release();
                    ReadResult read = await input.ReadAsync(cancellationToken).ConfigureAwait(false);
                    if (input.Records.Received == 0 && new SequenceReader<byte>(read.Buffer).TryPeek(out byte first) && (first & Ssl2HelloFlag) != 0)
                    {
                        throw new AuthenticationException("The peer does not speak TLS, or begins with a hello of SSL 2.0, which is prohibited (RFC 6176).");
                    }

                    input.Accept(read, left);
                    break;
                case OpenSslStatus.Disposed:
                    throw new ObjectDisposedException(nameof(OpenSslSession));
                default:
                    throw ToException(session);
            }
        }
    }

    private static Exception ToException(OpenSslSession session)
    {
        session.Side.ThrowIfFailed();
        if (session.PipeError is Exception output)
        {
            return output;
        }

        if (session.Side is OpenSslServerSide server && session.Error.Reason == LibSsl.ReasonNoPeerCertificate)
        {
            server.RejectMissing();
        }

        return new AuthenticationException(session.Side.Refusal is string refusal
            ? $"The peer's certificate is not accepted: {refusal}."
            : "The TLS handshake failed.",
            new CryptographicException(session.Error.Text));
    }
}
