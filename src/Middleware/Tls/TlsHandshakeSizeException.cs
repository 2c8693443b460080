namespace ByteStreams.Tls;

/// <summary>The peer has sent more bytes in the handshake than <c>MaxHandshakeSize</c>.</summary>
internal sealed class TlsHandshakeSizeException(string message) : IOException(message);
