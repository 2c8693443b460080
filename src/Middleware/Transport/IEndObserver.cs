namespace ByteStreams.Transport;

/// <summary>Is called when a connection begins to end, for a user that may wait for something else at that time.</summary>
internal interface IEndObserver
{
    /// <summary>
    /// The connection is being closed, was aborted, or is lost; its <see cref="IByteStreamTransportFeature.EndReason"/> is set. Called outside
    /// of any lock, perhaps more than once, on the thread that ends the connection: it must not wait.
    /// </summary>
    void OnEnding();
}
