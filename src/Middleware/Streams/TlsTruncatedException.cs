namespace ByteStreams;

/// <summary>
/// The peer ended the TLS connection without close_notify (RFC 8446, 6.1): whether it meant to end there, or somebody in between has
/// cut the rest off, cannot be told. Everything that came before could be read.
/// </summary>
public sealed class TlsTruncatedException : IOException
{
    /// <summary>Makes the exception.</summary>
    /// <param name="message">What has happened.</param>
    /// <param name="innerException">How it was noticed, if by an error.</param>
    public TlsTruncatedException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
