namespace ByteStreams.Testing;

/// <summary>A peer in memory, over the library's own pair: there is nothing below it.</summary>
internal sealed class MemoryPeerLink(ByteStreamConnection connection) : IPeerLink
{
    public async Task SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        connection.Writer.Write(bytes.Span);
        await connection.Writer.DrainAsync(cancellationToken).ConfigureAwait(false);
    }

    public async Task<int> ReceiveAsync(Memory<byte> room, CancellationToken cancellationToken) =>
        await connection.Reader.ReadAsync(room, cancellationToken).ConfigureAwait(false);

    public async Task HalfCloseAsync(CancellationToken cancellationToken)
    {
        connection.Writer.WriteEof();
        await connection.Writer.DrainAsync(cancellationToken).ConfigureAwait(false);
    }

    public void Reset() => connection.Writer.Abort();

    public ValueTask DisposeAsync() => connection.DisposeAsync();
}
