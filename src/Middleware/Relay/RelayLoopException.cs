namespace ByteStreams.Relay;

/// <summary>An upstream is the relay itself, or passes connections on to it.</summary>
internal sealed class RelayLoopException()
    : IOException("it leads back to this relay, and each connection would open another one without end; give the address of another service");
