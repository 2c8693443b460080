namespace ByteStreams.Transport;

/// <summary>How far a connection is, for timeouts and the summary: read from other threads while it is used, so each is a snapshot.</summary>
internal interface IConnectionProgress
{
    /// <summary>Whether a read waits for the peer's bytes: then the peer is late, and not this side.</summary>
    bool IsWaitingForInput { get; }

    /// <summary>Whether a send waits for the peer to take bytes.</summary>
    bool IsSendWaiting { get; }

    /// <summary>Bytes that reads were or will be given: behind TLS the plain ones.</summary>
    long InputReceived { get; }

    /// <summary>Bytes that were received and not consumed: while a read waits, a message that is not whole.</summary>
    long BufferedInput { get; }

    /// <summary>
    /// Bytes of a TLS record that is incomplete: received, and not yet input. Zero without TLS. A peer that never completes one has begun a
    /// message all the same.
    /// </summary>
    int UnfinishedInput => 0;

    /// <summary>Whether the peer has ended its direction.</summary>
    bool IsInputEnded { get; }

    /// <summary>Whether this side has ended its direction.</summary>
    bool IsOutputEnded { get; }

    /// <summary>Whether the connection is closed for good.</summary>
    bool IsClosed { get; }

    /// <summary>
    /// Done when the transport has taken everything that was written before the close, or when that has become impossible; never faulted.
    /// A close may go on after it, see <see cref="IByteStreamTransportFeature.WaitClosedAsync"/>.
    /// </summary>
    Task OutputFinished { get; }

    /// <summary>The clock's timestamp of the first byte received; zero before it.</summary>
    long FirstByteAt { get; }

    /// <summary>Has an observer called from now on. Set before the connection is used; without one, nothing is paid for it.</summary>
    /// <param name="observer">What is called.</param>
    /// <param name="input">Whether reads that wait and the end of the input are reported.</param>
    /// <param name="output">Whether sends that wait and the end of the output are reported.</param>
    void Observe(IProgressObserver observer, bool input, bool output);

    /// <summary>What <see cref="Observe"/> has set; null where nothing is observed.</summary>
    IProgressObserver? Observer { get; }

    /// <summary>
    /// Whether the peer's end has arrived, received or not: as <see cref="IsInputEnded"/> where the transport does not know before it receives.
    /// </summary>
    bool HasEndArrived => IsInputEnded;

    /// <summary>Whether a loss ends the connection although nothing is read or sent; else <see cref="LookForLoss"/> has to be called.</summary>
    bool ReportsLoss => true;

    /// <summary>
    /// Has an observer called when the connection begins to end, at once where it has. From now on a loss ends the connection also while
    /// nothing is read or sent, see <see cref="ReportsLoss"/>.
    /// </summary>
    /// <param name="observer">What is called, in place of the one before; null for none.</param>
    void ObserveEnd(IEndObserver? observer);

    /// <summary>Ends the connection where it is lost and no read or send has reported that.</summary>
    void LookForLoss()
    {
    }

    /// <summary>Called by each heartbeat before it looks: a transport that does not see what happens compares here, and reports what has changed.</summary>
    void Sample()
    {
    }
}
