using ByteStreams.Connections;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>The timeouts and limits of a TLS connection.</summary>
/// <param name="HandshakeTimeout">The timeout of the handshake.</param>
/// <param name="ShutdownTimeout">The timeout of the close.</param>
/// <param name="TimeProvider">The clock of both timeouts.</param>
/// <param name="RequireCloseNotify">Whether EOF without close_notify is a truncation; null is true for a handler and false for a relay.</param>
/// <param name="MaxHandshakeSize">The maximum number of bytes that the peer may send in the handshake.</param>
/// <param name="Engine">The implementation.</param>
internal sealed record TlsSettings(
    TimeSpan HandshakeTimeout, TimeSpan ShutdownTimeout, TimeProvider TimeProvider, bool? RequireCloseNotify = true, long MaxHandshakeSize = long.MaxValue,
    TlsEngine Engine = TlsEngine.Auto)
{
    /// <summary>The defaults of asyncio: 60 s and 30 s.</summary>
    public static TlsSettings Default { get; } = new(TimeSpan.FromSeconds(60), TimeSpan.FromSeconds(30), TimeProvider.System);

    /// <summary>Returns the settings of the connection's server or client; the defaults on other transports.</summary>
    public static TlsSettings For(ConnectionContext connection) =>
        ((connection as ChannelConnection ?? ConnectionState.Get(connection)?.Channel)?.Options as ITlsSettingsSource)?.TlsSettings ?? Default;
}
