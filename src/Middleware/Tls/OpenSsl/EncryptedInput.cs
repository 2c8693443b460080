using System.Buffers;
using System.IO.Pipelines;
using ByteStreams.Transport;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>
/// The encrypted bytes of the peer, lent to OpenSSL from the blocks of the pipe below. A read of the pipe is held until OpenSSL has taken all of
/// its bytes. One task at a time.
/// </summary>
internal sealed class EncryptedInput(PipeReader pipe)
{
    private ReadOnlySequence<byte> _held;
    private SequencePosition _next;
    private ReadOnlyMemory<byte> _chunk;
    private bool _isHeld;

    /// <summary>The framing of the received records.</summary>
    public TlsRecords Records { get; } = new();

    /// <summary>The number of bytes that OpenSSL has not taken.</summary>
    public long Left { get; private set; }

    /// <summary>Whether the peer's EOF was read. The held bytes come before it.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>Whether EOF or a disconnect has arrived that is not read yet.</summary>
    public bool HasPeerEnded => pipe is TransportPipeReader { Driver.HasPeerEnded: true };

    /// <summary>Begins a read, after <see cref="Release"/>. The result goes to <see cref="Accept"/>.</summary>
    public ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) => pipe.ReadAsync(cancellationToken);

    /// <summary>Holds the bytes of a read.</summary>
    /// <param name="read">The read.</param>
    /// <param name="limit">The number of bytes that may be held; further ones stay in the pipe.</param>
    /// <exception cref="OperationCanceledException"><see cref="PipeReader.CancelPendingRead"/> was called.</exception>
    public void Accept(in ReadResult read, long limit = long.MaxValue)
    {
        _isHeld = true;
        _held = read.Buffer.Length <= limit ? read.Buffer : read.Buffer.Slice(0, limit);
        Left = _held.Length;
        _next = _held.Start;
        _chunk = default;
        foreach (ReadOnlyMemory<byte> bytes in _held)
        {
            Records.Add(bytes.Span);
        }

        HasEnded = read.IsCompleted && Left == read.Buffer.Length;
        if (read.IsCanceled)
        {
            throw new OperationCanceledException("The read of the pipe was cancelled.");
        }
    }

    /// <summary>Copies held bytes. Returns their number; zero if none are left.</summary>
    public int Take(Span<byte> destination)
    {
        while (_chunk.IsEmpty)
        {
            if (Left == 0)
            {
                return 0;
            }

            _ = _held.TryGet(ref _next, out _chunk);
        }

        int count = Math.Min(destination.Length, _chunk.Length);
        _chunk.Span[..count].CopyTo(destination);
        _chunk = _chunk[count..];
        Left -= count;
        return count;
    }

    /// <summary>Gives the held bytes back to the pipe if all were taken. The pipe then frees their blocks.</summary>
    public void Release()
    {
        if (_isHeld && Left == 0)
        {
            _isHeld = false;
            SequencePosition end = _held.End;
            _held = default;
            _next = default;
            pipe.AdvanceTo(end);
        }
    }

    /// <summary>Gives a held read back in any case: for a session that ends while the pipe goes on.</summary>
    public void Abandon()
    {
        Left = 0;
        _chunk = default;
        Release();
    }

    /// <summary>Returns the error that the pipe has failed with; null if it has not failed, or that is unknown. Also from the writing task.</summary>
    public Exception? FindError()
    {
        // Another pipe is read by the reading task only.
        if (pipe is not TransportPipeReader own)
        {
            return null;
        }

        using (own.Driver.Gate.Enter())
        {
            return own.Driver.Failure;
        }
    }
}
