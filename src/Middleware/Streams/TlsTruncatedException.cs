namespace ByteStreams;

/// <summary>
/// The peer closed the TLS connection without close_notify (RFC 8446, 6.1). An attacker on the path may have removed the rest of the data.
/// Everything that arrived before was read.
/// </summary>
public sealed class TlsTruncatedException : IOException
{
    /// <summary>Initializes the exception.</summary>
    /// <param name="message">The message.</param>
    /// <param name="innerException">The error by which the truncation was detected, if any.</param>
    public TlsTruncatedException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
