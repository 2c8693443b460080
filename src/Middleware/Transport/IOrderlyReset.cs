namespace ByteStreams.Transport;

/// <summary>A connection whose reset can wait for what was written before.</summary>
internal interface IOrderlyReset
{
    /// <summary>
    /// Sends what was written, waits until the peer's side has it, and resets the connection: the peer reads everything and then meets the
    /// reset. Bounded by <see cref="ByteStreamTransportOptions.LingerTimeout"/>, a minute at most, and over TLS by the shutdown timeout
    /// before it; never faulted.
    /// </summary>
    /// <param name="reason">The close reason.</param>
    /// <param name="cause">What reads and flushes fail with; may be null.</param>
    /// <param name="waitsForSlowPeer">Whether the bound is a minute in which the peer takes nothing, instead.</param>
    Task AbortWhenSentAsync(ConnectionEndReason reason, Exception? cause, bool waitsForSlowPeer = false);
}
