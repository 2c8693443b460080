namespace ByteStreams.Transport;

/// <summary>The progress of a connection, for timeouts and the summary. Other threads read it while it is used: each value is a snapshot.</summary>
internal interface IConnectionProgress
{
    /// <summary>Whether a read waits for the peer's bytes.</summary>
    bool IsWaitingForInput { get; }

    /// <summary>Whether a send waits for the peer to accept bytes.</summary>
    bool IsSendWaiting { get; }

    /// <summary>Bytes received for reads; with TLS, the decrypted ones.</summary>
    long InputReceived { get; }

    /// <summary>Bytes received and not consumed: while a read waits, those of an incomplete message.</summary>
    long BufferedInput { get; }

    /// <summary>
    /// Bytes of an incomplete TLS record, which are not input yet. Zero without TLS. They count as the beginning of a message.
    /// </summary>
    int UnfinishedInput => 0;

    /// <summary>Whether the peer has shut down its direction.</summary>
    bool IsInputEnded { get; }

    /// <summary>Whether this side has shut down its direction.</summary>
    bool IsOutputEnded { get; }

    /// <summary>Whether the connection is closed.</summary>
    bool IsClosed { get; }

    /// <summary>
    /// Completes when the transport has accepted everything that was written before the close, or cannot any more; never faults. The close may
    /// continue after it, see <see cref="IByteStreamTransportFeature.WaitClosedAsync"/>.
    /// </summary>
    Task OutputFinished { get; }

    /// <summary>The clock's timestamp of the first byte received; zero before it.</summary>
    long FirstByteAt { get; }

    /// <summary>Sets the observer, before the connection is used.</summary>
    /// <param name="observer">The observer.</param>
    /// <param name="input">Whether waiting reads and the end of the input are reported.</param>
    /// <param name="output">Whether waiting sends and the end of the output are reported.</param>
    void Observe(IProgressObserver observer, bool input, bool output);

    /// <summary>The observer that <see cref="Observe"/> has set; null without one.</summary>
    IProgressObserver? Observer { get; }

    /// <summary>
    /// Whether the peer's FIN has arrived, received or not; <see cref="IsInputEnded"/> on a transport that detects it only by a receive.
    /// </summary>
    bool HasEndArrived => IsInputEnded;

    /// <summary>Whether a failure is detected without a pending read or send; otherwise <see cref="LookForLoss"/> has to be called.</summary>
    bool ReportsLoss => true;

    /// <summary>
    /// Sets the observer of the beginning of the close, which is called at once if the close has begun. From now on a failure is detected
    /// without a pending read or send, see <see cref="ReportsLoss"/>.
    /// </summary>
    /// <param name="observer">The observer, which replaces the previous one; null for none.</param>
    void ObserveEnd(IEndObserver? observer);

    /// <summary>Closes the connection if it has failed and no read or send has reported it.</summary>
    void LookForLoss()
    {
    }

    /// <summary>Called by each heartbeat first: a transport without events compares its counts here and reports changes.</summary>
    void Sample()
    {
    }
}
