namespace ByteStreams.Testing;

/// <summary>A handler or a connection does not keep a case of its contract. The message says which case, what was expected, and what was seen.</summary>
/// <param name="message">Which case, what was expected, and what was seen.</param>
/// <param name="innerException">What was thrown instead, if anything was.</param>
public sealed class ContractException(string message, Exception? innerException = null) : Exception(message, innerException);
