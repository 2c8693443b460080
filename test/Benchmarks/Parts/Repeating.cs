using System.Buffers;
using ByteStreams;
using ByteStreams.Transport;
using Microsoft.Extensions.Logging.Abstractions;

namespace Benchmarks.Parts;

/// <summary>Endless input: a pattern over and over, so many bytes with each receive.</summary>
internal sealed class Repeating(byte[] pattern, int chunk)
{
    private int _at;

    public int Fill(Span<byte> destination)
    {
        int count = Math.Min(destination.Length, chunk);
        for (int filled = 0; filled < count;)
        {
            int piece = Math.Min(count - filled, pattern.Length - _at);
            pattern.AsSpan(_at, piece).CopyTo(destination[filled..]);
            filled += piece;
            _at = (_at + piece) % pattern.Length;
        }

        return count;
    }

    /// <summary>A connection of this library, with everything but a kernel.</summary>
    public ByteStreamConnection Connect(int limit = ByteStreamReader.DefaultLimit) =>
        new(new ChannelConnection(new Channel(this), null, null, new ByteStreamClientOptions()), limit, NullLogger.Instance, "");

    public Stream AsStream() => new Source(this);

    private sealed class Channel(Repeating input) : ByteChannel
    {
        public override ValueTask WaitToReceiveAsync() => default;

        public override ValueTask<int> ReceiveAsync(Memory<byte> destination) => new(input.Fill(destination.Span));

        public override ValueTask<int> SendAsync(ReadOnlySequence<byte> source) => new((int)source.Length);

        public override int TrySend(in ReadOnlySequence<byte> queued, ReadOnlySpan<byte> more) => (int)queued.Length + more.Length;

        public override ValueTask ShutdownSendAsync() => default;

        public override void Reset()
        {
        }

        public override void Close()
        {
        }
    }

    private sealed class Source(Repeating input) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(byte[] buffer, int offset, int count) => input.Fill(buffer.AsSpan(offset, count));

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => new(input.Fill(buffer.Span));

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            Task.FromResult(input.Fill(buffer.AsSpan(offset, count)));

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
