namespace ByteStreams.Streams;

/// <summary>The feature of a connection whose upgrade to TLS failed because of the peer, for the log of a handler that lets the exception escape.</summary>
/// <param name="Error">What <c>StartTlsAsync</c> threw.</param>
/// <param name="Reason">The close reason.</param>
/// <param name="Explanation">The reason in words; may contain text of the peer.</param>
/// <param name="ServerName">The name that the client asked for, as it was sent; null without one.</param>
internal sealed record TlsUpgradeFailure(Exception Error, ConnectionCloseReason Reason, string Explanation, string? ServerName);
