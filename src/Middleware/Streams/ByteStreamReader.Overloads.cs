using System.Runtime.CompilerServices;

namespace ByteStreams;

/// <content>Overloads that call other reads with default arguments, or take a separator as a span.</content>
public sealed partial class ByteStreamReader
{
    /// <summary>Reads everything up to the end of the stream, as <see cref="ReadAsync(int, CancellationToken)"/> with -1 does.</summary>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The bytes, owned by the caller; empty if none is left.</returns>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<byte[]> ReadAsync(CancellationToken cancellationToken) => ReadAsync(-1, cancellationToken);

    /// <summary>Reads a line as UTF-8 text, with the conventions of <see cref="TextReader.ReadLine"/>.</summary>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The line without <c>\n</c> or <c>\r\n</c>; null at the end of the stream.</returns>
    /// <exception cref="LimitOverrunException">As <see cref="ReadLineAsync"/>.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<string?> ReadTextLineAsync(CancellationToken cancellationToken) => ReadTextLineAsync(null, cancellationToken);

    /// <summary>Reads through <paramref name="separator"/>, such as <c>"\r\n"u8</c>.</summary>
    /// <param name="separator">
    /// One or more bytes. They are copied before the method returns; a separator of up to 32 bytes that was used before is not copied again.
    /// </param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>Everything through the separator, owned by the caller.</returns>
    /// <exception cref="ArgumentException">The separator is empty.</exception>
    /// <exception cref="IncompleteReadException">The stream ended before a separator; the exception has the bytes before the end.</exception>
    /// <exception cref="LimitOverrunException">The record is longer than <see cref="Limit"/>; the buffer is intact.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    [OverloadResolutionPriority(-1)]
    public ValueTask<byte[]> ReadUntilAsync(ReadOnlySpan<byte> separator, CancellationToken cancellationToken = default) =>
        ReadUntilAsync((ReadOnlyMemory<byte>)SeparatorCopies.Get(separator), cancellationToken);
}
