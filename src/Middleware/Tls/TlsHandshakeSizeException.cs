namespace ByteStreams.Tls;

/// <summary>The peer has sent more in the handshake than it may.</summary>
internal sealed class TlsHandshakeSizeException(string message) : IOException(message);
