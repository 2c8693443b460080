namespace ByteStreams;

/// <summary>
/// A line, a separated record or a message is longer than the reader's limit. Source: asyncio's <c>LimitOverrunError</c>.
/// </summary>
/// <remarks>
/// After <see cref="ByteStreamReader.ReadUntilAsync(ReadOnlyMemory{byte}, CancellationToken)"/> the buffer is intact: read
/// <see cref="Consumed"/> bytes to get past what was too long. After <see cref="ByteStreamReader.ReadLineAsync"/> the
/// overlong line has been discarded already.
/// </remarks>
public sealed class LimitOverrunException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="message">What was over which limit.</param>
    /// <param name="consumed">How many buffered bytes belong to what was too long.</param>
    public LimitOverrunException(string message, int consumed)
        : base(message) => Consumed = consumed;

    /// <summary>
    /// Bytes at the head of the buffer that belong to the overlong record: the position of the separator if it was found, else
    /// as many bytes as surely lie before it.
    /// </summary>
    public int Consumed { get; }

    /// <summary>Whose limit it was; null where the exception was made elsewhere.</summary>
    internal ByteStreamReader? Reader { get; init; }
}
