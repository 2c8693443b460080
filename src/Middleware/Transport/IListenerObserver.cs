namespace ByteStreams.Transport;

/// <summary>Is notified of what a listener does with connections before they exist. Callable from any thread.</summary>
internal interface IListenerObserver
{
    /// <summary>A connection was refused at accept.</summary>
    /// <param name="endpoint">The endpoint's name.</param>
    /// <param name="reason">The reason.</param>
    void ConnectionRefused(string endpoint, ConnectionCloseReason reason);

    /// <summary>An accept failed.</summary>
    /// <param name="endpoint">The endpoint's name.</param>
    /// <param name="error">The system's error.</param>
    void AcceptFailed(string endpoint, string error);
}
