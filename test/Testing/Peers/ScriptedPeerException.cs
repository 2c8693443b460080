namespace ByteStreams.Testing;

/// <summary>The other side did not do what a <see cref="ScriptedPeer"/> expected. The message shows both, escaped as in a string literal.</summary>
/// <param name="message">What was expected, and what came.</param>
/// <param name="expected">The bytes that were expected; null where an end or a reset was.</param>
/// <param name="received">The bytes that came in their place, as far as they were received.</param>
/// <param name="innerException">What ended the connection, if anything did.</param>
public sealed class ScriptedPeerException(string message, byte[]? expected, byte[] received, Exception? innerException = null)
    : Exception(message, innerException)
{
    /// <summary>The bytes that were expected; null where an end or a reset was.</summary>
    public byte[]? Expected { get; } = expected;

    /// <summary>The bytes that came in their place, as far as they were received.</summary>
    public byte[] Received { get; } = received;
}
