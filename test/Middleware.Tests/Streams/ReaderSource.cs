using System.Buffers;
using System.IO.Pipelines;
using System.Text;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>A reader and whatever its bytes come from.</summary>
public abstract class ReaderSource(ByteStreamReader reader)
{
    public ByteStreamReader Reader { get; } = reader;

    /// <summary>Each string is one chunk; each char is one byte.</summary>
    public void Feed(params string[] chunks)
    {
        foreach (string chunk in chunks)
        {
            Feed(Encoding.Latin1.GetBytes(chunk));
        }
    }

    public abstract void Feed(ReadOnlySpan<byte> chunk);

    /// <summary>Feeds as fast as the reader takes it.</summary>
    public virtual Task FeedAllAsync(ReadOnlyMemory<byte> data)
    {
        Feed(data.Span);
        return Task.CompletedTask;
    }

    public abstract void Finish();
}

/// <summary>FeedData and FeedEof.</summary>
internal sealed class HandFed : ReaderSource
{
    public HandFed(int limit)
        : base(new ByteStreamReader(limit))
    {
    }

    public HandFed(int limit, PipeScheduler scheduler)
        : base(new ByteStreamReader(scheduler, limit))
    {
    }

    public override void Feed(ReadOnlySpan<byte> chunk) => Reader.FeedData(chunk);

    public override void Finish() => Reader.FeedEof();
}

/// <summary>A <see cref="Pipe"/>, by default with its own default options.</summary>
internal sealed class OverPipe : ReaderSource
{
    private readonly Pipe _pipe;

    public OverPipe(int limit, PipeOptions? options = null)
        : this(limit, new Pipe(options ?? PipeOptions.Default))
    {
    }

    private OverPipe(int limit, Pipe pipe)
        : base(new ByteStreamReader(pipe.Reader, limit)) => _pipe = pipe;

    public override void Feed(ReadOnlySpan<byte> chunk)
    {
        _pipe.Writer.Write(chunk);
        _ = _pipe.Writer.FlushAsync().AsTask();
    }

    public override async Task FeedAllAsync(ReadOnlyMemory<byte> data)
    {
        while (!data.IsEmpty)
        {
            ReadOnlyMemory<byte> piece = data[..Math.Min(3000, data.Length)];
            await _pipe.Writer.WriteAsync(piece);
            data = data[piece.Length..];
        }
    }

    public override void Finish() => _pipe.Writer.Complete();
}

/// <summary>A <see cref="ChunkPipeReader"/>: every chunk is a segment of its own, so that a split in a test is a split in the buffer.</summary>
internal sealed class OverChunks : ReaderSource
{
    public OverChunks(int limit, PipeScheduler? scheduler = null)
        : this(limit, new ChunkPipeReader(scheduler ?? PipeScheduler.ThreadPool))
    {
    }

    private OverChunks(int limit, ChunkPipeReader input)
        : base(new ByteStreamReader(input, limit)) => Input = input;

    public ChunkPipeReader Input { get; }

    public override void Feed(ReadOnlySpan<byte> chunk) => Input.Feed(chunk);

    public override void Finish() => Input.Finish();
}
