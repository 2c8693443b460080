namespace ByteStreams.ProxyProtocol;

/// <summary>The header violates the protocol. The message has no text that the peer sent.</summary>
internal sealed class ProxyHeaderException(string message) : Exception(message);
