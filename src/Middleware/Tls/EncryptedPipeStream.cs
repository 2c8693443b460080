using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using ByteStreams.Transport;

namespace ByteStreams.Tls;

/// <summary>The pipe of encrypted bytes as the stream under an SslStream. Counts the bytes and records that are received.</summary>
internal sealed class EncryptedPipeStream(PipeReader input, PipeWriter output) : Stream
{
    private readonly Stream _input = input.AsStream(leaveOpen: true);
    private readonly Stream _output = output.AsStream(leaveOpen: true);

    /// <summary>Whether EOF was read. A TLS connection without close_notify is truncated from then on.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>The framing of the received records.</summary>
    public TlsRecords Records { get; } = new();

    /// <summary>The maximum number of bytes that the peer may send in the handshake.</summary>
    public long MaxHandshakeSize { get; init; } = long.MaxValue;

    /// <summary>Whether reads fail because the peer has sent too many records without application data.</summary>
    public bool IsFlooded { get; private set; }

    /// <summary>Whether EOF or a disconnect has arrived that is not read yet.</summary>
    public bool HasPeerEnded => input is TransportPipeReader { Driver.HasPeerEnded: true };

    /// <summary>The lock of the TLS state; null during the handshake. Released while a read waits for the peer, because nothing is decrypted then.</summary>
    public TlsStateLock? StateLock { get; private set; }

    /// <summary>Ends the handshake: <see cref="MaxHandshakeSize"/> no longer applies, and its records are not counted.</summary>
    public TlsStateLock BeginApplicationData()
    {
        Records.OnData();
        return StateLock = new TlsStateLock();
    }

    /// <summary>Returns the error that the pipe has failed with; null if it has not failed, or cannot be read now.</summary>
    public Exception? FindError() => PipeFailure.Find(input);

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        buffer = buffer[..GetAllowedLength(buffer.Length)];
        ValueTask<int> read = _input.ReadAsync(buffer, cancellationToken);
        return read.IsCompletedSuccessfully ? new(Record(read.Result, buffer.Span)) : RecordAsync(read, buffer);
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count)
    {
        count = GetAllowedLength(count);
        return Record(_input.Read(buffer, offset, count), buffer.AsSpan(offset, count));
    }

    /// <summary>Writes and flushes. The pipe's own stream reports a flush that a disconnect has completed as a success.</summary>
    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        ValueTask<FlushResult> write = output.WriteAsync(buffer, cancellationToken);
        if (!write.IsCompletedSuccessfully)
        {
            return AwaitAsync(write);
        }

        FlushResult result = write.Result;
        return result is { IsCompleted: false, IsCanceled: false } ? default : AwaitAsync(new(result));
    }

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override void Write(byte[] buffer, int offset, int count) => _output.Write(buffer, offset, count);

    /// <summary>Does nothing, because each write flushes. SslStream also flushes in its disposal, when the pipe is already completed.</summary>
    public override void Flush()
    {
    }

    /// <inheritdoc cref="Flush"/>
    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask AwaitAsync(ValueTask<FlushResult> write)
    {
        FlushResult result = await write.ConfigureAwait(false);
        if (result.IsCanceled)
        {
            throw new OperationCanceledException("The flush of the pipe was cancelled.");
        }

        if (result.IsCompleted)
        {
            throw IOutputFailure.Of(output);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> RecordAsync(ValueTask<int> read, Memory<byte> buffer)
    {
        TlsStateLock? released = StateLock is TlsStateLock held && held.Exit() ? held : null;
        try
        {
            return Record(await read.ConfigureAwait(false), buffer.Span);
        }
        finally
        {
            released?.Enter();
        }
    }

    private int Record(int count, Span<byte> buffer)
    {
        HasEnded |= count == 0 && !buffer.IsEmpty;
        Records.Add(buffer[..count]);
        if (StateLock is null)
        {
            LoopDispatch.NoteHandshake();
        }

        return count;
    }

    /// <summary>
    /// Returns the maximum length of the next read. SslStream reads again only after it has processed all complete records: they belong to the
    /// handshake, or had no application data.
    /// </summary>
    private int GetAllowedLength(int requested)
    {
        if (StateLock is null)
        {
            // At most the rest of the handshake's limit: bytes after the handshake are read after it.
            return Records.Received < MaxHandshakeSize ? (int)Math.Min(requested, MaxHandshakeSize - Records.Received)
                : throw new TlsHandshakeSizeException($"the peer sent more than {MaxHandshakeSize} bytes in the handshake (MaxHandshakeSize)");
        }

        if (Records.WithoutData > TlsRecords.MaxWithoutData)
        {
            IsFlooded = true;
            throw new IOException("Too many consecutive TLS records without application data.");
        }

        return requested;
    }
}
