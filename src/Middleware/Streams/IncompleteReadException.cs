namespace ByteStreams;

/// <summary>
/// The stream ended before a read had all that it asked for. Source: asyncio's <c>IncompleteReadError</c>.
/// </summary>
public sealed class IncompleteReadException : EndOfStreamException
{
    /// <summary>Makes the exception for a read that got <paramref name="partial"/> and then the end.</summary>
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

    /// <summary>The number of bytes asked for, or null where the read waited for a separator or a message.</summary>
    public int? Expected { get; }

    /// <summary>Whose read it was; null where the exception was made elsewhere.</summary>
    internal ByteStreamReader? Reader { get; init; }

    private static string Describe(byte[] partial, int? expected)
    {
        ArgumentNullException.ThrowIfNull(partial);
        return expected is int count
            ? $"The stream ended after {partial.Length} of {count} expected bytes."
            : $"The stream ended after {partial.Length} bytes, before what the read was waiting for.";
    }
}
