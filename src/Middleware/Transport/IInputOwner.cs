namespace ByteStreams.Transport;

/// <summary>The connection that a <see cref="TransportPipeReader"/> is the input of.</summary>
internal interface IInputOwner
{
    /// <summary>The bytes that may be received at once to be answered, see <see cref="TransportPipeWriter.AnswerCapacity"/>.</summary>
    long AnswerCapacity { get; }

    /// <summary>Bytes of the same connection that were written and not sent.</summary>
    long BufferedOutput { get; }

    /// <summary>Called once, under the reader's lock, before the first byte is counted.</summary>
    void OnInputBegun();

    /// <summary>
    /// Called once, outside of any lock, when the peer has ended its direction or the connection is lost.
    /// </summary>
    /// <param name="loss">The cause of the loss; null at the end.</param>
    void OnInputEnded(Exception? loss);

    /// <summary>Called, outside of any lock, when the channel reports a failure that no receive waits for.</summary>
    void OnLossReported();

    /// <summary>Called, outside of any lock, when as much was discarded as <see cref="UnreadInput.Discard"/> allows.</summary>
    void OnDiscarded();
}
