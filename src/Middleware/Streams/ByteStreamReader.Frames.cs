using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using ByteStreams.Streams;

namespace ByteStreams;

/// <content>Frames, and messages in frames.</content>
public sealed partial class ByteStreamReader
{
    // Made by the first read of a frame.
    private FrameSearch? _frameSearch;

    /// <summary>Reads one frame.</summary>
    /// <param name="framing">The same as the peer writes; the same object in each call.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The frame without header and delimiter, owned by the caller; null at the end of the stream between two frames.</returns>
    /// <exception cref="LimitOverrunException">The frame is longer than <see cref="Framing.MaxLength"/>; the buffer is intact.</exception>
    /// <exception cref="InvalidFrameException">The bytes are no frame of this framing; the buffer is intact.</exception>
    /// <exception cref="IncompleteReadException">The stream ended within a frame; the exception has the bytes before the end.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<byte[]?> ReadFrameAsync(Framing framing, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(framing);
        return Read<FrameCut, OwnedFrame, byte[]?>(new(nameof(ReadFrameAsync), framing, endsCleanly: true), new(this), cancellationToken);
    }

    /// <summary><see cref="ReadFrameAsync"/> without the copy.</summary>
    /// <param name="framing">The same as the peer writes; the same object in each call.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The connection's own buffers, valid until the next call on this reader; null at the end of the stream between two frames.</returns>
    /// <exception cref="LimitOverrunException">As <see cref="ReadFrameAsync"/>.</exception>
    /// <exception cref="InvalidFrameException">As <see cref="ReadFrameAsync"/>.</exception>
    /// <exception cref="IncompleteReadException">As <see cref="ReadFrameAsync"/>.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<ReadOnlySequence<byte>?> BorrowFrameAsync(Framing framing, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(framing);
        return Read<FrameCut, BorrowedFrame, ReadOnlySequence<byte>?>(
            new(nameof(BorrowFrameAsync), framing, endsCleanly: true), new(this), cancellationToken);
    }

    /// <summary>Takes a frame from the buffered bytes, without a wait, a copy or an allocation.</summary>
    /// <param name="framing">The same as the peer writes; the same object in each call.</param>
    /// <param name="frame">
    /// The connection's own buffers, without header and delimiter, valid until the next call on this reader. Empty if there is no whole frame.
    /// </param>
    /// <returns>
    /// Whether there is a whole frame; if not, await <see cref="WaitToReadAsync"/>. False at the end of the stream if no byte is left.
    /// </returns>
    /// <exception cref="LimitOverrunException">As <see cref="ReadFrameAsync"/>.</exception>
    /// <exception cref="InvalidFrameException">As <see cref="ReadFrameAsync"/>.</exception>
    /// <exception cref="IncompleteReadException">As <see cref="ReadFrameAsync"/>.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    /// <exception cref="Exception">The connection has failed: <see cref="Exception"/>.</exception>
    /// <remarks>Not thread-safe: call it from the task that reads.</remarks>
    public bool TryReadFrame(Framing framing, out ReadOnlySequence<byte> frame)
    {
        ArgumentNullException.ThrowIfNull(framing);
        BeginTry(nameof(TryReadFrame));
        try
        {
            if (HasMore())
            {
                long total = MeasureFrame(framing, endsCleanly: true);
                if (total > 0)
                {
                    frame = CutFrame(Cut(total));
                    return true;
                }

                MarkExamined();
                _missing = (int)Math.Min(int.MaxValue, MissingOfFrame);
            }

            frame = default;
            return false;
        }
        finally
        {
            EndTry();
        }
    }

    /// <summary>Yields frames and stops at the end of the stream between two frames.</summary>
    /// <param name="framing">The same as the peer writes.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The frames, owned by the caller; errors are those of <see cref="ReadFrameAsync"/>.</returns>
    public async IAsyncEnumerable<byte[]> ReadFramesAsync(
        Framing framing, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        while (await ReadFrameAsync(framing, cancellationToken).ConfigureAwait(false) is byte[] frame)
        {
            yield return frame;
        }
    }

    /// <summary>Reads one message: JSON in a frame.</summary>
    /// <typeparam name="T">The message's type.</typeparam>
    /// <param name="framing">The same as the peer writes; the same object in each call.</param>
    /// <param name="typeInfo">How, from a source-generated <c>JsonSerializerContext</c>: no reflection, safe for Native AOT.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The message; null if the JSON is <c>null</c>.</returns>
    /// <exception cref="InvalidFrameException">As <see cref="ReadFrameAsync"/>; or the JSON is invalid: the frame has been consumed.</exception>
    /// <exception cref="LimitOverrunException">As <see cref="ReadFrameAsync"/>.</exception>
    /// <exception cref="IncompleteReadException">The stream ended before a whole message; at a clean end <c>Partial</c> is empty.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<T?> ReadMessageAsync<T>(Framing framing, JsonTypeInfo<T> typeInfo, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(framing);
        ArgumentNullException.ThrowIfNull(typeInfo);
        return Read<FrameCut, JsonMessage<T>, T?>(
            new(nameof(ReadMessageAsync), framing, endsCleanly: false), new(this, typeInfo), cancellationToken);
    }

    /// <summary>Reads one message in a frame, by any serializer.</summary>
    /// <typeparam name="T">The message's type.</typeparam>
    /// <param name="framing">The same as the peer writes; the same object in each call.</param>
    /// <param name="deserialize">Makes the message of the frame, which is valid during the call only. It must not call this reader.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The message.</returns>
    /// <exception cref="InvalidFrameException">As <see cref="ReadFrameAsync"/>.</exception>
    /// <exception cref="LimitOverrunException">As <see cref="ReadFrameAsync"/>.</exception>
    /// <exception cref="IncompleteReadException">The stream ended before a whole message; at a clean end <c>Partial</c> is empty.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    /// <exception cref="Exception">Any exception of <paramref name="deserialize"/>; the frame has been consumed.</exception>
    public ValueTask<T> ReadMessageAsync<T>(
        Framing framing, Func<ReadOnlySequence<byte>, T> deserialize, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(framing);
        ArgumentNullException.ThrowIfNull(deserialize);
        return Read<FrameCut, ParsedMessage<T>, T>(
            new(nameof(ReadMessageAsync), framing, endsCleanly: false), new(this, deserialize), cancellationToken);
    }

    /// <summary>Takes a message, JSON in a frame, from the buffered bytes, without a wait.</summary>
    /// <typeparam name="T">The message's type.</typeparam>
    /// <param name="framing">The same as the peer writes; the same object in each call.</param>
    /// <param name="typeInfo">As in <see cref="ReadMessageAsync{T}(Framing, JsonTypeInfo{T}, CancellationToken)"/>.</param>
    /// <param name="message">The message; null if the JSON is <c>null</c>.</param>
    /// <returns>As <see cref="TryReadFrame"/>.</returns>
    /// <exception cref="InvalidFrameException">As <see cref="ReadFrameAsync"/>; or the JSON is invalid: the frame has been consumed.</exception>
    /// <exception cref="LimitOverrunException">As <see cref="ReadFrameAsync"/>.</exception>
    /// <exception cref="IncompleteReadException">As <see cref="ReadFrameAsync"/>.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    /// <remarks>Not thread-safe: call it from the task that reads.</remarks>
    public bool TryReadMessage<T>(Framing framing, JsonTypeInfo<T> typeInfo, [MaybeNull] out T message)
    {
        ArgumentNullException.ThrowIfNull(typeInfo);
        bool any = TryReadFrame(framing, out ReadOnlySequence<byte> frame);
        message = any ? Deserialize(frame, typeInfo) : default;
        return any;
    }

    /// <summary>Yields messages, JSON in frames, and stops at the end of the stream between two messages.</summary>
    /// <typeparam name="T">The message's type.</typeparam>
    /// <param name="framing">The same as the peer writes.</param>
    /// <param name="typeInfo">As in <see cref="ReadMessageAsync{T}(Framing, JsonTypeInfo{T}, CancellationToken)"/>.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The messages; errors are those of <see cref="ReadMessageAsync{T}(Framing, JsonTypeInfo{T}, CancellationToken)"/>.</returns>
    public async IAsyncEnumerable<T?> ReadMessagesAsync<T>(
        Framing framing, JsonTypeInfo<T> typeInfo, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        while (await WaitToReadAsync(cancellationToken).ConfigureAwait(false))
        {
            while (TryReadMessage(framing, typeInfo, out T? message))
            {
                yield return message;
            }
        }
    }

    /// <summary>The bytes that the frame at the current position lacks, as far as its length is known; else 0.</summary>
    private long MissingOfFrame => _frameSearch is { Bounds.Total: > 0 and long total } ? Math.Max(0, total - _buffer.Length) : 0;

    /// <summary>
    /// The length of the frame at the start of the buffer with header and delimiter; 0 at a clean end; -1 where more must arrive first.
    /// </summary>
    private long MeasureFrame(Framing framing, bool endsCleanly)
    {
        FrameSearch search = _frameSearch ??= new FrameSearch();
        search.LookFor(framing, _position);
        long buffered = _buffer.Length;
        if (search.Bounds.Total == 0 && buffered > 0)
        {
            search.Bounds = framing.Measure(_buffer.Sequence, ref search.Searched, this);
        }

        long total = search.Bounds.Total;
        if (total > 0 && buffered >= total)
        {
            framing.CheckTail(_buffer.Sequence, search.Bounds, this);
            return total;
        }

        if (!_ended)
        {
            return -1;
        }

        return buffered == 0 && endsCleanly
            ? 0
            : throw new IncompleteReadException(DiscardAll(), total > 0 ? (int)Math.Min(total, int.MaxValue) : null) { Reader = this };
    }

    /// <summary>Takes header and delimiter off the frame that was measured last.</summary>
    private ReadOnlySequence<byte> CutFrame(in ReadOnlySequence<byte> bytes)
    {
        FrameBounds bounds = _frameSearch!.Bounds;
        return bytes.Slice(bounds.Start, bounds.Length);
    }

    private T? Deserialize<T>(in ReadOnlySequence<byte> frame, JsonTypeInfo<T> typeInfo)
    {
        JsonSerializerOptions options = typeInfo.Options;
        try
        {
            var json = new Utf8JsonReader(frame, new JsonReaderOptions
            {
                AllowTrailingCommas = options.AllowTrailingCommas,
                CommentHandling = options.ReadCommentHandling,
                MaxDepth = options.MaxDepth,
            });
            T? message = JsonSerializer.Deserialize(ref json, typeInfo);
            // Throws if anything but white space follows.
            json.Read();
            return message;
        }
        catch (JsonException error)
        {
            throw new InvalidFrameException($"A frame of {frame.Length} bytes is no JSON for {typeof(T).Name}: {error.Message}", error) { Reader = this };
        }
    }

    /// <summary>Through the end of a frame.</summary>
    private struct FrameCut(string call, Framing framing, bool endsCleanly) : ICut
    {
        public readonly string Call => call;

        /// <summary>As for <see cref="ExactCut"/>: a large frame is received in few parts.</summary>
        public int Needs { get; private set; }

        public readonly Exception? Check() => null;

        public long Measure(ByteStreamReader reader)
        {
            long total = reader.MeasureFrame(framing, endsCleanly);
            if (total < 0)
            {
                Needs = (int)Math.Min(int.MaxValue, reader._frameSearch!.Bounds.Total);
            }

            return total;
        }
    }

    private readonly struct OwnedFrame(ByteStreamReader reader) : IResult<byte[]?>
    {
        public bool Owned => true;

        public byte[]? Make(in ReadOnlySequence<byte> bytes)
        {
            if (bytes.IsEmpty)
            {
                return null;
            }

            ReadOnlySequence<byte> frame = reader.CutFrame(bytes);
            return frame.IsEmpty ? [] : frame.ToArray();
        }
    }

    private readonly struct BorrowedFrame(ByteStreamReader reader) : IResult<ReadOnlySequence<byte>?>
    {
        public bool Owned => false;

        public ReadOnlySequence<byte>? Make(in ReadOnlySequence<byte> bytes) => bytes.IsEmpty ? null : reader.CutFrame(bytes);
    }

    private readonly struct JsonMessage<T>(ByteStreamReader reader, JsonTypeInfo<T> typeInfo) : IResult<T?>
    {
        public bool Owned => true;

        public T? Make(in ReadOnlySequence<byte> bytes) => reader.Deserialize(reader.CutFrame(bytes), typeInfo);
    }

    private readonly struct ParsedMessage<T>(ByteStreamReader reader, Func<ReadOnlySequence<byte>, T> deserialize) : IResult<T>
    {
        public bool Owned => true;

        public T Make(in ReadOnlySequence<byte> bytes) => deserialize(reader.CutFrame(bytes));
    }
}
