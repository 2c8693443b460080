namespace ByteStreams.Transport;

/// <summary>
/// Observes the instants at which timeouts start. Called on the thread that causes them and under its lock: it must not wait or take a lock.
/// </summary>
internal interface IProgressObserver
{
    /// <summary>A read starts to wait for the peer, or has received bytes and waits for more. Called before the wait is visible.</summary>
    void OnReadWaits();

    /// <summary>The first bytes of a TLS record have arrived, and not the rest. Called before they are visible.</summary>
    void OnRecordBegins();

    /// <summary>A send starts to wait for the peer, or has sent bytes and waits with the rest. Called before the wait is visible.</summary>
    void OnSendWaits();

    /// <summary>One direction is shut down. Called before that is visible.</summary>
    void OnDirectionEnds();

    /// <summary>
    /// A relay forwards what the peer sends: from now on a waiting send of the other connection counts as one of this connection. Called
    /// outside of any lock, once, before the other connection is used.
    /// </summary>
    void OnRelayed(IConnectionProgress upstream);
}
