namespace ByteStreams;

/// <summary>Why a connection ended. The first cause stays.</summary>
public enum ConnectionEndReason
{
    /// <summary>It has not ended.</summary>
    None = 0,

    /// <summary>The peer ended its direction first, and then everything was closed cleanly.</summary>
    ClosedByPeer,

    /// <summary>This side closed first, cleanly: the handler returned, or the writer was closed.</summary>
    ClosedLocally,

    /// <summary>The peer reset the connection, or the network lost it.</summary>
    ResetByPeer,

    /// <summary>The operating system gave up on an unresponsive peer (keep-alive or retransmission timed out).</summary>
    TimedOut,

    /// <summary>This side aborted the connection.</summary>
    Aborted,

    /// <summary>The handler threw.</summary>
    HandlerError,

    /// <summary>The server's shutdown deadline passed, or its clients were aborted.</summary>
    ServerShutdown,

    /// <summary>The TLS handshake failed or timed out.</summary>
    TlsHandshakeFailed,
}
