namespace ByteStreams.Relay;

/// <summary>The upstream is the relay itself, or forwards to it.</summary>
internal sealed class RelayLoopException()
    : IOException("the address leads back to this relay, so that each connection would open another one; set the address of another service");
