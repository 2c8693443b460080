namespace ByteStreams.Transport;

/// <summary>Observes the beginning of a connection's close.</summary>
internal interface IEndObserver
{
    /// <summary>
    /// The connection is being closed, was aborted, or has failed; its <see cref="IByteStreamTransportFeature.CloseReason"/> is set. Called
    /// outside of any lock, perhaps more than once, on the thread that closes the connection: it must not wait.
    /// </summary>
    void OnEnding();
}
