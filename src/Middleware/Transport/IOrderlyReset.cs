namespace ByteStreams.Transport;

/// <summary>A connection whose reset can wait until written bytes are delivered.</summary>
internal interface IOrderlyReset
{
    /// <summary>
    /// Sends what was written, waits until the peer's side has acknowledged it, and resets the connection: the peer reads everything, then the
    /// reset. Bounded by <see cref="ByteStreamTransportOptions.LingerTimeout"/>, a minute at most, and over TLS by the shutdown timeout
    /// before it. Does not throw.
    /// </summary>
    /// <param name="reason">The close reason.</param>
    /// <param name="cause">The exception of pending and later reads and flushes; may be null.</param>
    /// <param name="waitsForSlowPeer">Whether the bound is instead a minute in which the peer accepts no byte.</param>
    Task AbortWhenSentAsync(ConnectionCloseReason reason, Exception? cause, bool waitsForSlowPeer = false);
}
