using ByteStreams.Tls;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams;

/// <content>The upgrade of a server whose certificates are files.</content>
public static partial class ByteStreamWriterTlsExtensions
{
    /// <summary>Upgrades the connection to TLS as a server (STARTTLS), with certificates from files.</summary>
    /// <param name="writer">The writer of a connection.</param>
    /// <param name="options">
    /// The options. A certificate is required. The files are read by each call, so that a renewed certificate is used by the next one. For many
    /// handshakes a second, load a certificate once and pass <see cref="System.Net.Security.SslServerAuthenticationOptions"/>.
    /// <see cref="TlsServerOptions.MaxHandshakes"/> does not apply, and sessions are not resumed. The timeouts and
    /// <see cref="TlsServerOptions.RequireCloseNotify"/> of these options apply, not those of the connection.
    /// </param>
    /// <param name="cancellationToken">As <see cref="StartTlsAsync(ByteStreamWriter, System.Net.Security.SslServerAuthenticationOptions, CancellationToken)"/>.</param>
    /// <returns>Completes with the handshake.</returns>
    /// <exception cref="ArgumentException">An option is not valid, or a file is missing or unusable; the message names it. The connection stays plain.</exception>
    /// <remarks>
    /// Other errors are those of <see cref="StartTlsAsync(ByteStreamWriter, System.Net.Security.SslServerAuthenticationOptions, CancellationToken)"/>.
    /// </remarks>
    public static Task StartTlsAsync(this ByteStreamWriter writer, TlsServerOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        var store = new CertificateStore(options, "-", metrics: null, TimeProvider.System, NullLogger.Instance);
        return StartTlsAsync(writer, options, store, cancellationToken);
    }

    private static async Task StartTlsAsync(ByteStreamWriter writer, TlsServerOptions options, CertificateStore store, CancellationToken cancellationToken)
    {
        // No await before the call: the caller's next write must not be sent in plain text.
        using (store)
        {
            var handshake = new TlsHandshakeContext();
            object selection = new TlsServerAuthenticator(options, store, defaultProtocols: []).GetOptions(handshake);
            await StartTlsAsync(writer, selection, options, handshake, cancellationToken).ConfigureAwait(false);
        }
    }

    private static TlsSettings GetSettings(ConnectionContext connection, object shown)
    {
        TlsSettings inherited = TlsSettings.For(connection);
        return shown is not TlsServerOptions options ? inherited : inherited with
        {
            HandshakeTimeout = options.HandshakeTimeout,
            ShutdownTimeout = options.ShutdownTimeout,
            RequireCloseNotify = options.RequireCloseNotify,
            MaxHandshakeSize = options.MaxHandshakeSize,
            Engine = options.Engine,
        };
    }
}
