using System.Buffers;

namespace ByteStreams;

/// <summary>
/// A reader, a writer or both as a <see cref="Stream"/>. One read and any number of writes may run at the same time. Synchronous calls block the
/// thread until the asynchronous call is done.
/// </summary>
/// <param name="reader">The source of reads; null for a stream that is written only.</param>
/// <param name="writer">The target of writes; null for a stream that is read only.</param>
/// <param name="owned">The connection that is disposed with the stream; null closes <paramref name="writer"/> only.</param>
/// <param name="leaveOpen">Whether the connection and the writer stay open when the stream is disposed.</param>
internal sealed class PairStream(ByteStreamReader? reader, ByteStreamWriter? writer, ByteStreamConnection? owned, bool leaveOpen) : Stream
{
    private int _isDisposed;

    public override bool CanRead => reader is not null && _isDisposed == 0;

    public override bool CanWrite => writer is not null && _isDisposed == 0;

    public override bool CanSeek => false;

    public override long Length => throw NoSeek();

    public override long Position
    {
        get => throw NoSeek();
        set => throw NoSeek();
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        ByteStreamReader source = Source();
        if (buffer.IsEmpty)
        {
            // A read of zero bytes waits for bytes without a buffer, as on NetworkStream and PipeReaderStream.
            await source.WaitToReadAsync(cancellationToken).ConfigureAwait(false);
            return 0;
        }

        return await source.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
    {
        ValidateBufferArguments(buffer, offset, count);
        return ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
    }

    public override int Read(byte[] buffer, int offset, int count) =>
        ReadAsync(buffer, offset, count, CancellationToken.None).GetAwaiter().GetResult();

    public override int Read(Span<byte> buffer)
    {
        byte[] rented = ArrayPool<byte>.Shared.Rent(buffer.Length);
        int count = Read(rented, 0, buffer.Length);
        rented.AsSpan(0, count).CopyTo(buffer);
        ArrayPool<byte>.Shared.Return(rented);
        return count;
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
        Target().WriteAsync(buffer, cancellationToken);

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
    {
        ValidateBufferArguments(buffer, offset, count);
        return WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
    }

    public override void Write(byte[] buffer, int offset, int count)
    {
        ValidateBufferArguments(buffer, offset, count);
        Write(buffer.AsSpan(offset, count));
    }

    public override void Write(ReadOnlySpan<byte> buffer) => Target().WriteAsync(buffer, CancellationToken.None).AsTask().GetAwaiter().GetResult();

    public override void Flush() => FlushAsync(CancellationToken.None).GetAwaiter().GetResult();

    public override Task FlushAsync(CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_isDisposed != 0, this);
        return writer is null ? Task.CompletedTask : writer.DrainAsync(cancellationToken).AsTask();
    }

    // Those of Stream allow one operation at a time: a pending read would delay each write.
    public override IAsyncResult BeginRead(byte[] buffer, int offset, int count, AsyncCallback? callback, object? state) =>
        TaskToAsyncResult.Begin(ReadAsync(buffer, offset, count, CancellationToken.None), callback, state);

    public override int EndRead(IAsyncResult asyncResult) => TaskToAsyncResult.End<int>(asyncResult);

    public override IAsyncResult BeginWrite(byte[] buffer, int offset, int count, AsyncCallback? callback, object? state) =>
        TaskToAsyncResult.Begin(WriteAsync(buffer, offset, count, CancellationToken.None), callback, state);

    public override void EndWrite(IAsyncResult asyncResult) => TaskToAsyncResult.End(asyncResult);

    public override long Seek(long offset, SeekOrigin origin) => throw NoSeek();

    public override void SetLength(long value) => throw NoSeek();

    public override async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 0 && !leaveOpen)
        {
            writer?.Close();
            if (owned is not null)
            {
                await owned.DisposeAsync().ConfigureAwait(false);
            }
        }

        await base.DisposeAsync().ConfigureAwait(false);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing && Interlocked.Exchange(ref _isDisposed, 1) == 0 && !leaveOpen)
        {
            // Does not block: the bytes are delivered in the background, as after Close.
            writer?.Close();
            _ = owned?.DisposeAsync().AsTask();
        }

        base.Dispose(disposing);
    }

    private ByteStreamReader Source()
    {
        ObjectDisposedException.ThrowIf(_isDisposed != 0, this);
        return reader ?? throw new NotSupportedException("This stream is of a writer only. Use the AsStream of the connection to read.");
    }

    private ByteStreamWriter Target()
    {
        ObjectDisposedException.ThrowIf(_isDisposed != 0, this);
        return writer ?? throw new NotSupportedException("This stream is of a reader only. Use the AsStream of the connection to write.");
    }

    private static NotSupportedException NoSeek() => new("A connection has no length and no position.");
}
