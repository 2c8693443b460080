namespace ByteStreams;

/// <summary>The pair as <see cref="Stream"/>, for libraries that take one, and copying from a reader to a writer.</summary>
public static class ByteStreamStreamExtensions
{
    /// <summary>
    /// Returns the connection as a stream for both directions. One read and any number of writes may run at the same time. Each write drains. A read
    /// into an empty buffer waits for bytes. Synchronous calls block the thread. Timeouts are not supported: cancel with a token.
    /// </summary>
    /// <param name="connection">The connection.</param>
    /// <param name="leaveOpen">Whether the connection stays open when the stream is disposed; false by default. A synchronous dispose does not wait for the close.</param>
    /// <returns>The stream. Its errors are those of the reader and the writer.</returns>
    public static Stream AsStream(this ByteStreamConnection connection, bool leaveOpen = false)
    {
        ArgumentNullException.ThrowIfNull(connection);
        return new PairStream(connection.Reader, connection.Writer, connection, leaveOpen);
    }

    /// <summary>Returns the reader as a stream that is read only. Disposing the stream does not close the connection.</summary>
    /// <param name="reader">The reader. Use one of the two at a time.</param>
    /// <returns>The stream, which reads as that of <see cref="AsStream(ByteStreamConnection, bool)"/> does.</returns>
    public static Stream AsStream(this ByteStreamReader reader)
    {
        ArgumentNullException.ThrowIfNull(reader);
        return new PairStream(reader, null, null, leaveOpen: true);
    }

    /// <summary>Returns the writer as a stream that is written only.</summary>
    /// <param name="writer">The writer.</param>
    /// <param name="leaveOpen">Whether the writer stays open when the stream is disposed; false, the default, calls <see cref="ByteStreamWriter.Close"/>.</param>
    /// <returns>The stream, which writes as that of <see cref="AsStream(ByteStreamConnection, bool)"/> does.</returns>
    public static Stream AsStream(this ByteStreamWriter writer, bool leaveOpen = false)
    {
        ArgumentNullException.ThrowIfNull(writer);
        return new PairStream(null, writer, null, leaveOpen);
    }

    /// <summary>
    /// Copies everything up to the end of the stream, without an intermediate buffer. The writer is not closed: call
    /// <see cref="ByteStreamWriter.WriteEof"/> to forward the end.
    /// </summary>
    /// <param name="reader">The source. No other read may be waiting.</param>
    /// <param name="writer">The target. It drains after each part, so that a slow target pauses the source.</param>
    /// <param name="cancellationToken">Ends the copy. Bytes that were read are written; the others stay with the reader.</param>
    /// <returns>The number of bytes copied.</returns>
    /// <exception cref="InvalidOperationException">Another read is waiting, or <see cref="ByteStreamWriter.WriteEof"/> was called.</exception>
    /// <exception cref="Microsoft.AspNetCore.Connections.ConnectionResetException">Either connection was lost.</exception>
    public static async Task<long> CopyToAsync(this ByteStreamReader reader, ByteStreamWriter writer, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(reader);
        ArgumentNullException.ThrowIfNull(writer);
        long copied = 0;
        while (await reader.BorrowAsync(cancellationToken).ConfigureAwait(false) is { IsEmpty: false } bytes)
        {
            copied += bytes.Length;
            writer.Write(bytes);
            await writer.DrainAsync(cancellationToken).ConfigureAwait(false);
        }

        return copied;
    }
}
