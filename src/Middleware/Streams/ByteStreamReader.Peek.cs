using System.Buffers;

namespace ByteStreams;

/// <content>Reads that leave the bytes in the buffer.</content>
public sealed partial class ByteStreamReader
{
    /// <summary>
    /// Waits until at least <paramref name="n"/> bytes are buffered and returns all buffered bytes without consuming them, for instance to detect
    /// a protocol by its first bytes. The next read returns the same bytes. No copy, no allocation.
    /// </summary>
    /// <param name="n">How many bytes, zero or more; 1 by default. 0 does not wait. <see cref="Limit"/> does not bound it.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>
    /// The connection's own buffers, valid until the next call on this reader. Fewer than <paramref name="n"/> bytes, or none, only at the end of
    /// the stream.
    /// </returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="n"/> is negative.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<ReadOnlySequence<byte>> PeekAsync(int n = 1, CancellationToken cancellationToken = default) =>
        Read<PeekCut, PeekResult, ReadOnlySequence<byte>>(new(n), new(this), cancellationToken);

    /// <summary>Takes nothing once <paramref name="n"/> bytes are buffered: R25.</summary>
    private readonly struct PeekCut(int n) : ICut
    {
        public string Call => nameof(PeekAsync);

        public int Needs => n;

        public Exception? Check() => n < 0 ? new ArgumentOutOfRangeException(nameof(n), n, $"{Call} takes zero or more bytes.") : null;

        public long Measure(ByteStreamReader reader) => reader._buffer.Length >= n || reader._ended ? 0 : -1;
    }

    private readonly struct PeekResult(ByteStreamReader reader) : IResult<ReadOnlySequence<byte>>
    {
        public bool Owned => false;

        public ReadOnlySequence<byte> Make(in ReadOnlySequence<byte> bytes) => reader._buffer.Sequence;
    }
}
