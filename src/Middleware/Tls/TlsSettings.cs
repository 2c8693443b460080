using ByteStreams.Connections;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>Times and bounds of a TLS connection.</summary>
/// <param name="Handshake">How long the handshake may take.</param>
/// <param name="Shutdown">How long the close may take.</param>
/// <param name="Time">The clock of both.</param>
/// <param name="RequireCloseNotify">Whether an end without close_notify is a truncation; null where that is the default, which a relay relaxes.</param>
/// <param name="MostInHandshake">The most bytes that the peer may send in the handshake.</param>
internal sealed record TlsSettings(TimeSpan Handshake, TimeSpan Shutdown, TimeProvider Time, bool? RequireCloseNotify = true, long MostInHandshake = long.MaxValue)
{
    /// <summary>asyncio's own: 60 s and 30 s.</summary>
    public static TlsSettings Default { get; } = new(TimeSpan.FromSeconds(60), TimeSpan.FromSeconds(30), TimeProvider.System);

    /// <summary>What the options of the connection's server or client say; the defaults on other transports.</summary>
    public static TlsSettings For(ConnectionContext connection) =>
        (connection as ChannelConnection ?? ConnectionState.Get(connection)?.Channel)?.Options switch
        {
            ByteStreamServerOptions server => For(server),
            ByteStreamClientOptions client => For(client),
            _ => Default,
        };

    public static TlsSettings For(ByteStreamServerOptions options) =>
        new(options.TlsHandshakeTimeout, options.TlsShutdownTimeout, options.TimeProvider, options.TlsRequireCloseNotify);

    public static TlsSettings For(ByteStreamClientOptions options) =>
        new(options.TlsHandshakeTimeout, options.TlsShutdownTimeout, options.TimeProvider, options.TlsRequireCloseNotify);
}
