using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>A pipe's two halves as the one stream that SslStream takes. The framework has each half, not the whole.</summary>
internal sealed class DuplexPipeStream(PipeReader input, PipeWriter output) : Stream
{
    private readonly Stream _input = input.AsStream(leaveOpen: true);
    private readonly Stream _output = output.AsStream(leaveOpen: true);

    /// <summary>Whether the pipe's end was read: behind it, whoever has not said goodbye has been cut off.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>The records that were received.</summary>
    public TlsRecords Records { get; } = new();

    /// <summary>The most bytes that the peer may send in the handshake.</summary>
    public long MostInHandshake { get; init; } = long.MaxValue;

    /// <summary>What reads fail with because the peer has sent too many records without application data; null where it has not.</summary>
    public ConnectionAbortedException? Flood { get; private set; }

    /// <summary>Whether the peer has ended or is gone although that was not read yet.</summary>
    public bool HasPeerEnded => input is TransportPipeReader { Driver.HasPeerEnded: true };

    /// <summary>Whose turn it is at the TLS state: given up while a read waits, since nothing is decrypted then. Null during the handshake.</summary>
    public TlsTurn? Turn { get; private set; }

    /// <summary>The handshake is over: its bound no longer holds, and its records do not count.</summary>
    public TlsTurn BeginApplicationData()
    {
        Records.OnData();
        return Turn = new TlsTurn();
    }

    /// <summary>How the pipe was lost; null where it was not, or nobody knows.</summary>
    public Exception? FindLoss()
    {
        try
        {
            if (input.TryRead(out ReadResult read))
            {
                input.AdvanceTo(read.Buffer.Start);
            }

            return null;
        }
        catch (Exception loss) when (loss is IOException or ConnectionAbortedException)
        {
            return loss;
        }
        catch (InvalidOperationException)
        {
            // It was completed, or somebody else is reading.
            return null;
        }
    }

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
        buffer = buffer[..Allowed(buffer.Length)];
        ValueTask<int> read = _input.ReadAsync(buffer, cancellationToken);
        return read.IsCompletedSuccessfully ? new(Note(read.Result, buffer.Span)) : NoteAsync(read, buffer);
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count)
    {
        count = Allowed(count);
        return Note(_input.Read(buffer, offset, count), buffer.AsSpan(offset, count));
    }

    /// <summary>As the pipe's own stream, which takes a flush that a lost connection has completed for a success.</summary>
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

    /// <summary>Nothing is left to do: each write flushes. SslStream flushes when it is disposed too, where the pipe is completed already.</summary>
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
            throw new OperationCanceledException("The pipe's flush was cancelled.");
        }

        if (result.IsCompleted)
        {
            throw IOutputFailure.Of(output);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> NoteAsync(ValueTask<int> read, Memory<byte> buffer)
    {
        TlsTurn? turn = Turn is TlsTurn taken && taken.Leave() ? taken : null;
        try
        {
            return Note(await read.ConfigureAwait(false), buffer.Span);
        }
        finally
        {
            turn?.Enter();
        }
    }

    private int Note(int count, Span<byte> buffer)
    {
        HasEnded |= count == 0 && !buffer.IsEmpty;
        Records.Add(buffer[..count]);
        return count;
    }

    /// <summary>
    /// How many bytes the next read may bring. SslStream reads on when it has processed every record that is complete, so all of them belong
    /// to the handshake, or had no application data.
    /// </summary>
    private int Allowed(int asked)
    {
        if (Turn is null)
        {
            // No more than the handshake may still have: what comes after it is read after it.
            return Records.Received < MostInHandshake ? (int)Math.Min(asked, MostInHandshake - Records.Received)
                : throw new TlsHandshakeSizeException($"the peer has sent more than {MostInHandshake} bytes in the handshake (MaxHandshakeSize)");
        }

        if (Records.WithoutData > TlsRecords.MostWithoutData)
        {
            Flood ??= new ConnectionAbortedException(
                $"The peer has sent more than {TlsRecords.MostWithoutData} TLS records in a row without application data; the connection was aborted.");
            throw Flood;
        }

        return asked;
    }
}
