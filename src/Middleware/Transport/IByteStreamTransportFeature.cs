namespace ByteStreams;

/// <summary>
/// What a connection of this library's transports can do beyond <c>ConnectionContext</c>: half-close, a close that loses nothing,
/// an abort with a reason, counts. Middleware that replaces the connection's pipe wraps this feature too.
/// </summary>
/// <remarks>All members may be called from any thread, at any time, any number of times.</remarks>
public interface IByteStreamTransportFeature
{
    /// <summary>
    /// Whether completing <c>Transport.Output</c> sends what was written and then ends this direction only (FIN, or TLS
    /// close_notify) while <c>Transport.Input</c> can still be read.
    /// </summary>
    bool CanWriteEof { get; }

    /// <summary>Bytes received from the medium.</summary>
    long BytesReceived { get; }

    /// <summary>Bytes that the medium has taken.</summary>
    long BytesSent { get; }

    /// <summary>Why the connection ended; <see cref="ConnectionEndReason.None"/> while it lives.</summary>
    ConnectionEndReason EndReason { get; }

    /// <summary>
    /// The marks of flow control in bytes: a flush waits while more than <c>HighWater</c> bytes are queued, until no more than
    /// <c>LowWater</c> are. 65,536 and 16,384 where the options say nothing else; high &gt;= low &gt;= 0.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">high &lt; low, or low &lt; 0.</exception>
    (int HighWater, int LowWater) WriteBufferLimits { get; set; }

    /// <summary>Bytes that were flushed and that the medium has not taken yet.</summary>
    long WriteBufferSize { get; }

    /// <summary>
    /// Begins the close and returns at once: everything written is sent, this direction is ended, what the peer still sends is
    /// thrown away within the linger bounds, and the connection is closed.
    /// </summary>
    /// <param name="reason">
    /// Kept as <see cref="EndReason"/> unless the connection had ended before; <see cref="ConnectionEndReason.None"/> lets the
    /// transport say which side closed first.
    /// </param>
    void Close(ConnectionEndReason reason = ConnectionEndReason.None);

    /// <summary>Drops what is queued and resets the connection.</summary>
    /// <param name="reason">Kept as <see cref="EndReason"/> unless the connection had ended before.</param>
    /// <param name="cause">What pending and later calls throw, inside a <c>ConnectionAbortedException</c>; may be null.</param>
    void Abort(ConnectionEndReason reason, Exception? cause = null);

    /// <summary>Waits until the connection is closed; from now on a reset is noticed even if nobody reads or writes.</summary>
    /// <returns>
    /// A task that is done after a clean close or an abort by this side, and faulted with the cause: <c>ConnectionResetException</c> where
    /// the connection was lost, <c>TimeoutException</c> where written bytes did not reach the peer within the bounds of the close, and
    /// <c>ConnectionAbortedException</c> where an abort with a cause has dropped some.
    /// </returns>
    Task WaitClosedAsync();
}
