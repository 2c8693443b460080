using System.Net.Security;

namespace ByteStreams.Tls;

/// <summary>Returns the options of a server's handshake.</summary>
/// <param name="serverName">The server name that the client sent (SNI); null if it sent none.</param>
internal delegate SslServerAuthenticationOptions TlsServerSelection(string? serverName);
