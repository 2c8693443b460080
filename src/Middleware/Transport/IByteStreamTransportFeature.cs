namespace ByteStreams;

/// <summary>
/// The members of a connection of this library's transports that <c>ConnectionContext</c> does not have: half-close, a close that loses no
/// bytes, an abort with a reason, counts. Middleware that replaces the connection's pipe wraps this feature too.
/// </summary>
/// <remarks>All members may be called from any thread, at any time, any number of times.</remarks>
public interface IByteStreamTransportFeature
{
    /// <summary>
    /// Whether completing <c>Transport.Output</c> sends what was written and then shuts down this direction only (FIN, or TLS
    /// close_notify), while <c>Transport.Input</c> can still be read.
    /// </summary>
    bool CanWriteEof { get; }

    /// <summary>Bytes received from the transport.</summary>
    long BytesReceived { get; }

    /// <summary>Bytes that the transport has accepted.</summary>
    long BytesSent { get; }

    /// <summary>The close reason; <see cref="ConnectionCloseReason.None"/> while the connection is open.</summary>
    ConnectionCloseReason CloseReason { get; }

    /// <summary>
    /// The marks of flow control in bytes: a flush waits while more than <c>HighWater</c> bytes are queued, until no more than
    /// <c>LowWater</c> are. 65,536 and 16,384 by default; high &gt;= low &gt;= 0.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">high &lt; low, or low &lt; 0.</exception>
    (int HighWater, int LowWater) WriteBufferLimits { get; set; }

    /// <summary>Bytes that were flushed and that the transport has not accepted yet.</summary>
    long WriteBufferSize { get; }

    /// <summary>
    /// Begins the close and returns at once: everything written is sent, this direction is shut down, bytes that the peer still sends are
    /// discarded within the linger bounds, and the connection is closed.
    /// </summary>
    /// <param name="reason">
    /// Kept as <see cref="CloseReason"/> unless one is set already; <see cref="ConnectionCloseReason.None"/> lets the transport determine which
    /// side closed first.
    /// </param>
    void Close(ConnectionCloseReason reason = ConnectionCloseReason.None);

    /// <summary>Drops queued bytes and resets the connection.</summary>
    /// <param name="reason">Kept as <see cref="CloseReason"/> unless one is set already.</param>
    /// <param name="cause">The inner exception of the <c>ConnectionAbortedException</c> that pending and later calls throw; may be null.</param>
    void Abort(ConnectionCloseReason reason, Exception? cause = null);

    /// <summary>Waits until the connection is closed; from now on a reset is detected even without a pending read or write.</summary>
    /// <returns>
    /// A task that completes after a clean close or an abort by this side, and faults otherwise: <c>ConnectionResetException</c> if the
    /// connection failed, <c>TimeoutException</c> if written bytes did not reach the peer within the bounds of the close, and
    /// <c>ConnectionAbortedException</c> if an abort with a cause has dropped some.
    /// </returns>
    Task WaitClosedAsync();
}
