namespace ByteStreams;

/// <summary>
/// A line, a separated record or a message is longer than the reader's limit. Source: asyncio's <c>LimitOverrunError</c>.
/// </summary>
/// <remarks>
/// After <see cref="ByteStreamReader.ReadUntilAsync(ReadOnlyMemory{byte}, CancellationToken)"/> the buffer is intact: read
/// <see cref="Consumed"/> bytes to skip the overlong record. <see cref="ByteStreamReader.ReadLineAsync"/> discards the overlong line before
/// it throws.
/// </remarks>
public sealed class LimitOverrunException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">The length and the limit that it exceeds.</param>
    /// <param name="consumed">The number of buffered bytes that belong to the overlong record.</param>
    public LimitOverrunException(string message, int consumed)
        : base(message) => Consumed = consumed;

    /// <summary>
    /// The number of bytes at the start of the buffer that belong to the overlong record: the position of the separator if it was found,
    /// else the number of bytes that cannot contain the start of a separator.
    /// </summary>
    public int Consumed { get; }

    /// <summary>The reader that threw it; null for an exception that other code created.</summary>
    internal ByteStreamReader? Reader { get; init; }

    /// <summary>The close reason if it escapes from a handler.</summary>
    internal ConnectionCloseReason Reason { get; init; } = ConnectionCloseReason.LimitExceeded;
}
