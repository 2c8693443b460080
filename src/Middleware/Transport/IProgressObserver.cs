namespace ByteStreams.Transport;

/// <summary>
/// Is called at the instants from which timeouts count, on the thread that causes them and under its lock: it must not wait or take a lock.
/// </summary>
internal interface IProgressObserver
{
    /// <summary>A read begins to wait for the peer, or bytes came and it goes on waiting. Called before the wait can be seen.</summary>
    void OnReadWaits();

    /// <summary>The first bytes of a TLS record came, and not the rest. Called before they can be seen.</summary>
    void OnRecordBegins();

    /// <summary>A send begins to wait for the peer, or bytes went and the rest goes on waiting. Called before the wait can be seen.</summary>
    void OnSendWaits();

    /// <summary>One direction ends. Called before that can be seen.</summary>
    void OnDirectionEnds();

    /// <summary>
    /// A relay passes on what the peer sends: a send of the other connection that waits counts from now on as one of this connection.
    /// Called outside of any lock, once, before the other connection is used.
    /// </summary>
    void OnRelayed(IConnectionProgress upstream);
}
