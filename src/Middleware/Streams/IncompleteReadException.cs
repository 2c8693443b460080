namespace ByteStreams;

/// <summary>
/// The stream ended before a read had the bytes that it requires. Source: asyncio's <c>IncompleteReadError</c>.
/// </summary>
public sealed class IncompleteReadException : EndOfStreamException
{
    /// <summary>Creates the exception for a read that received <paramref name="partial"/> and then the end of the stream.</summary>
    /// <param name="partial">The bytes that arrived before the end; possibly empty.</param>
    /// <param name="expected">The number of bytes asked for; null where the read waited for a separator.</param>
    public IncompleteReadException(byte[] partial, int? expected)
        : base(Describe(partial, expected))
    {
        Partial = partial;
        Expected = expected;
    }

    /// <summary>The bytes that arrived before the end. They have left the reader's buffer.</summary>
    public byte[] Partial { get; }

    /// <summary>
    /// Whether the stream ended between two messages: <see cref="Partial"/> is empty. Where that end is expected,
    /// <see cref="ByteStreamReader.WaitToReadAsync"/> returns false for it and no exception is thrown.
    /// </summary>
    public bool IsCleanEnd => Partial.Length == 0;

    /// <summary>The number of bytes asked for, or null where the read waited for a separator or a message.</summary>
    public int? Expected { get; }

    /// <summary>The reader that threw it; null for an exception that other code created.</summary>
    internal ByteStreamReader? Reader { get; init; }

    private static string Describe(byte[] partial, int? expected)
    {
        ArgumentNullException.ThrowIfNull(partial);
        return expected is int count
            ? $"The stream ended after {partial.Length} of {count} expected bytes."
            : $"The stream ended after {partial.Length} bytes, before the separator or the whole message that the read waits for.";
    }
}
