namespace ByteStreams;

/// <summary>
/// The peer sent bytes that are no frame of the <see cref="Framing"/> of the read, or a frame that is no JSON of the type that was asked for.
/// </summary>
/// <remarks>
/// If it escapes from a handler, the connection is reset with <see cref="ConnectionCloseReason.InvalidFrame"/> and one line at Information.
/// After a malformed header the buffer is intact, and every further read of a frame fails: the start of the next frame is unknown. After
/// invalid JSON, which <see cref="Exception.InnerException"/> describes, the frame has been consumed, and the next read returns the next frame.
/// </remarks>
public sealed class InvalidFrameException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is malformed, with its value.</param>
    /// <param name="innerException">The cause; may be null.</param>
    public InvalidFrameException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }

    /// <summary>The reader that threw it; null for an exception that other code created.</summary>
    internal ByteStreamReader? Reader { get; init; }
}
