using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>How long the handshake and the close may take, by which clock, and whether an end without close_notify is one.</summary>
internal sealed record TlsSettings(TimeSpan Handshake, TimeSpan Shutdown, TimeProvider Time, bool RequireCloseNotify = true)
{
    /// <summary>asyncio's own: 60 s and 30 s.</summary>
    public static TlsSettings Default { get; } = new(TimeSpan.FromSeconds(60), TimeSpan.FromSeconds(30), TimeProvider.System);

    /// <summary>What the options of the connection's server or client say; the defaults on other transports.</summary>
    public static TlsSettings For(ConnectionContext connection) =>
        (connection as ChannelConnection ?? connection.Features.Get<ServerClient>()?.Connection)?.Options switch
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
