namespace ByteStreams.ProxyProtocol;

/// <summary>A header that breaks the protocol. The message says how, without the peer's own text.</summary>
internal sealed class ProxyHeaderException(string message) : Exception(message);
