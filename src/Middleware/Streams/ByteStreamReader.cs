using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using System.Text;

namespace ByteStreams;

/// <summary>
/// Reads bytes, lines and records from a connection. Source: asyncio's <c>StreamReader</c>; docs/asyncio.md lists the differences.
/// </summary>
/// <remarks>
/// <para>
/// The <c>Read…</c> methods return bytes that the caller owns. The <c>Borrow…</c> methods return the connection's own buffers without a
/// copy or an allocation. Borrowed buffers are valid until the next call on this reader, and at most until the handler returns.
/// </para>
/// <para>
/// For many small messages, <see cref="WaitToReadAsync"/> waits once, and <see cref="TryReadLine"/>, <c>TryReadUntil</c>,
/// <see cref="TryReadExactly"/> and <see cref="TryReadMessage{T}(MessageParser{T}, out T)"/> take each buffered message as borrowed buffers without an await.
/// </para>
/// <para>
/// Concurrent reads are not supported: a second read that would wait while another waits fails with
/// <see cref="InvalidOperationException"/> and consumes nothing. A read that the buffered bytes satisfy completes.
/// Await each returned <see cref="ValueTask"/> once.
/// </para>
/// <para>
/// Cancellation of a read loses no byte: received bytes stay buffered, and the next read continues there.
/// After a connection has failed, every read throws the cause (usually
/// <see cref="Microsoft.AspNetCore.Connections.ConnectionResetException"/>), see <see cref="Exception"/>.
/// </para>
/// <example>
/// <code>
/// await foreach (byte[] line in reader)
/// {
///     writer.Write(line);
///     await writer.DrainAsync();
/// }
/// </code>
/// </example>
/// </remarks>
public sealed partial class ByteStreamReader : IAsyncEnumerable<byte[]>
{
    /// <summary>The default limit: 65,536 bytes, as in asyncio.</summary>
    public const int DefaultLimit = ByteStreamTransportOptions.DefaultLimit;

    // Access to the buffer: no call is under way; a call is running; a call waits for bytes and has released the buffer.
    private const int Idle = 0;
    private const int Busy = 1;
    private const int Waiting = 2;

    private readonly Pipe? _fed;
    private PipeReader _input;
    private ByteStreamWriter? _writer;
    private int _state;
    private string? _waitingCall;
    private object? _spareMessageCut;

    // Received bytes that no call has returned yet. While _held, they belong to the pipe's last ReadResult. After a cancelled read, and while
    // a read waits, AdvanceTo has been called with nothing consumed, so they stay in place; bytes consumed then are counted in _taken and
    // returned to the pipe with its next result.
    private UnreadBytes _buffer;
    private bool _held;
    private long _taken;

    // Bytes of the stream that were returned or discarded, and bytes received: two counters, so that AtEof and ToString need no exclusive
    // access.
    private long _position;
    private long _arrived;
    private bool _ended;
    private bool _fedEof;
    private volatile bool _closed;
    private volatile bool _detached;
    private volatile Exception? _exception;

    // The token of reads that are called without one.
    private CancellationToken _stopping;

    /// <summary>Creates a reader that the caller feeds with <see cref="FeedData"/> and <see cref="FeedEof"/>.</summary>
    /// <param name="limit">The longest line or record in bytes, its separator not counted. Greater than zero.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="limit"/> is zero or less.</exception>
    public ByteStreamReader(int limit = DefaultLimit)
        : this(PipeScheduler.ThreadPool, limit)
    {
    }

    /// <summary>Creates a reader over any pipe.</summary>
    /// <param name="input">The source of the bytes. The reader is its only user from now on.</param>
    /// <param name="limit">The longest line or record in bytes, its separator not counted. Greater than zero.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="limit"/> is zero or less.</exception>
    public ByteStreamReader(PipeReader input, int limit = DefaultLimit)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit);
        _input = input;
        Limit = limit;
    }

    internal ByteStreamReader(PipeScheduler scheduler, int limit)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit);
        // FeedData is never paused, as in asyncio; 16 KiB segments keep a long line in few segments.
        _fed = new Pipe(new PipeOptions(
            readerScheduler: scheduler, pauseWriterThreshold: 0, minimumSegmentSize: 16384, useSynchronizationContext: false));
        _input = _fed.Reader;
        Limit = limit;
    }

    /// <summary>The longest line or record in bytes, its separator not counted.</summary>
    public int Limit { get; }

    /// <summary>
    /// Whether EOF was received and nothing is buffered (R15). On a connection a read detects EOF, not this property.
    /// </summary>
    public bool AtEof => (_ended || _fedEof) && Buffered == 0;

    /// <summary>The exception that every read throws, or null. Set when the connection fails, and by <see cref="SetException"/>.</summary>
    public Exception? Exception => _exception;

    /// <summary>Whether the reader holds received bytes that no read has returned.</summary>
    public bool HasBuffered => Buffered > 0;

    /// <summary>Whether a read waits for bytes.</summary>
    internal bool IsWaiting => Volatile.Read(ref _state) == Waiting;

    private long Buffered => Math.Max(0, Volatile.Read(ref _arrived) - Volatile.Read(ref _position));

    /// <summary>
    /// Reads up to <paramref name="n"/> bytes as soon as any are available, or everything up to the end of the stream.
    /// </summary>
    /// <param name="n">The maximum number of bytes; 0 returns none at once; -1, the default, reads to the end of the stream without a limit.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>1 to <paramref name="n"/> bytes, owned by the caller; empty only at the end of the stream.</returns>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<byte[]> ReadAsync(int n = -1, CancellationToken cancellationToken = default) =>
        Read<SomeCut, OwnedResult, byte[]>(new(nameof(ReadAsync), n < 0 ? -1 : n), default, cancellationToken);

    /// <summary>Reads into the caller's memory as soon as any bytes are available.</summary>
    /// <param name="buffer">The destination. Unchanged if the read fails or is cancelled.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The number of bytes read; 0 only at the end of the stream, or for an empty buffer.</returns>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        Read<SomeCut, FilledResult, int>(new(nameof(ReadAsync), buffer.Length), new(buffer), cancellationToken);

    /// <summary>Reads exactly <paramref name="n"/> bytes, which <see cref="Limit"/> does not bound.</summary>
    /// <param name="n">How many; 0 returns none at once.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The bytes, owned by the caller.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="n"/> is negative.</exception>
    /// <exception cref="IncompleteReadException">The stream ended earlier; the exception has the bytes before the end.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<byte[]> ReadExactlyAsync(int n, CancellationToken cancellationToken = default) =>
        Read<ExactCut, OwnedResult, byte[]>(new(nameof(ReadExactlyAsync), n), default, cancellationToken);

    /// <summary>Fills the caller's memory, which <see cref="Limit"/> does not bound.</summary>
    /// <param name="buffer">The destination. Unchanged if the read fails or is cancelled.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>A task that completes when the memory is full.</returns>
    /// <exception cref="IncompleteReadException">The stream ended earlier; the exception has the bytes before the end.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask ReadExactlyAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        ValueTask<int> read = Read<ExactCut, FilledResult, int>(
            new(nameof(ReadExactlyAsync), buffer.Length), new(buffer), cancellationToken);
        if (!read.IsCompletedSuccessfully)
        {
            return Finish(read);
        }

        _ = read.Result;
        return default;

        [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
        static async ValueTask Finish(ValueTask<int> read) => await read.ConfigureAwait(false);
    }

    /// <summary>Reads a line, through its <c>\n</c>.</summary>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The line with its <c>\n</c>; at the end of the stream the remaining bytes, and then empty.</returns>
    /// <exception cref="LimitOverrunException">
    /// The line is longer than <see cref="Limit"/>. It has been discarded: through its newline if that was received, else all buffered
    /// bytes.
    /// </exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<byte[]> ReadLineAsync(CancellationToken cancellationToken = default) =>
        Read<LineCut, OwnedResult, byte[]>(new(nameof(ReadLineAsync)), default, cancellationToken);

    /// <summary>Reads a line as text, with the conventions of <see cref="TextReader.ReadLine"/>.</summary>
    /// <param name="encoding">The encoding; UTF-8 by default.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The line without <c>\n</c> or <c>\r\n</c>; null at the end of the stream.</returns>
    /// <exception cref="LimitOverrunException">As <see cref="ReadLineAsync"/>.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<string?> ReadTextLineAsync(Encoding? encoding = null, CancellationToken cancellationToken = default) =>
        Read<LineCut, TextResult, string?>(new(nameof(ReadTextLineAsync)), new(encoding ?? Encoding.UTF8), cancellationToken);

    /// <summary>Reads through <paramref name="separator"/>.</summary>
    /// <param name="separator">One or more bytes. They may be split over any number of segments.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>Everything through the separator, owned by the caller.</returns>
    /// <exception cref="ArgumentException">The separator is empty.</exception>
    /// <exception cref="IncompleteReadException">The stream ended before a separator; the exception has the bytes before the end.</exception>
    /// <exception cref="LimitOverrunException">The record is longer than <see cref="Limit"/>; the buffer is intact.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<byte[]> ReadUntilAsync(ReadOnlyMemory<byte> separator, CancellationToken cancellationToken = default) =>
        Read<UntilCut, OwnedResult, byte[]>(new(nameof(ReadUntilAsync), separator), default, cancellationToken);

    /// <summary>
    /// Reads through the one of <paramref name="separators"/> that ends first; of two that end at the same byte, the shorter.
    /// </summary>
    /// <param name="separators">One or more separators, none of them empty.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>Everything through the separator, owned by the caller.</returns>
    /// <exception cref="ArgumentException">There is no separator, or an empty one.</exception>
    /// <exception cref="IncompleteReadException">The stream ended before a separator; the exception has the bytes before the end.</exception>
    /// <exception cref="LimitOverrunException">The record is longer than <see cref="Limit"/>; the buffer is intact.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<byte[]> ReadUntilAsync(
        IReadOnlyList<ReadOnlyMemory<byte>> separators, CancellationToken cancellationToken = default) =>
        Read<UntilCut, OwnedResult, byte[]>(new(nameof(ReadUntilAsync), separators), default, cancellationToken);

    /// <summary>Waits for bytes and returns all buffered bytes without a copy.</summary>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The connection's own buffers, valid until the next call on this reader; empty only at the end of the stream.</returns>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<ReadOnlySequence<byte>> BorrowAsync(CancellationToken cancellationToken = default) =>
        Read<SomeCut, BorrowedResult, ReadOnlySequence<byte>>(new(nameof(BorrowAsync), int.MaxValue), default, cancellationToken);

    /// <summary><see cref="ReadExactlyAsync(int, CancellationToken)"/> without the copy.</summary>
    /// <param name="n">How many bytes.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The connection's own buffers, valid until the next call on this reader.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="n"/> is negative.</exception>
    /// <exception cref="IncompleteReadException">The stream ended earlier; the exception has the bytes before the end.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<ReadOnlySequence<byte>> BorrowExactlyAsync(int n, CancellationToken cancellationToken = default) =>
        Read<ExactCut, BorrowedResult, ReadOnlySequence<byte>>(new(nameof(BorrowExactlyAsync), n), default, cancellationToken);

    /// <summary><see cref="ReadLineAsync"/> without the copy.</summary>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The connection's own buffers, valid until the next call on this reader.</returns>
    /// <exception cref="LimitOverrunException">As <see cref="ReadLineAsync"/>.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<ReadOnlySequence<byte>> BorrowLineAsync(CancellationToken cancellationToken = default) =>
        Read<LineCut, BorrowedResult, ReadOnlySequence<byte>>(new(nameof(BorrowLineAsync)), default, cancellationToken);

    /// <summary><see cref="ReadUntilAsync(ReadOnlyMemory{byte}, CancellationToken)"/> without the copy.</summary>
    /// <param name="separator">One or more bytes.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The connection's own buffers, valid until the next call on this reader.</returns>
    /// <exception cref="ArgumentException">The separator is empty.</exception>
    /// <exception cref="IncompleteReadException">The stream ended before a separator; the exception has the bytes before the end.</exception>
    /// <exception cref="LimitOverrunException">The record is longer than <see cref="Limit"/>; the buffer is intact.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<ReadOnlySequence<byte>> BorrowUntilAsync(
        ReadOnlyMemory<byte> separator, CancellationToken cancellationToken = default) =>
        Read<UntilCut, BorrowedResult, ReadOnlySequence<byte>>(new(nameof(BorrowUntilAsync), separator), default, cancellationToken);

    /// <summary>
    /// <see cref="ReadUntilAsync(IReadOnlyList{ReadOnlyMemory{byte}}, CancellationToken)"/> without the copy.
    /// </summary>
    /// <param name="separators">One or more separators, none of them empty.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The connection's own buffers, valid until the next call on this reader.</returns>
    /// <exception cref="ArgumentException">There is no separator, or an empty one.</exception>
    /// <exception cref="IncompleteReadException">The stream ended before a separator; the exception has the bytes before the end.</exception>
    /// <exception cref="LimitOverrunException">The record is longer than <see cref="Limit"/>; the buffer is intact.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    public ValueTask<ReadOnlySequence<byte>> BorrowUntilAsync(
        IReadOnlyList<ReadOnlyMemory<byte>> separators, CancellationToken cancellationToken = default) =>
        Read<UntilCut, BorrowedResult, ReadOnlySequence<byte>>(
            new(nameof(BorrowUntilAsync), separators), default, cancellationToken);

    /// <summary>Waits until <paramref name="parser"/> finds a whole message at the start of the buffer, and consumes it.</summary>
    /// <typeparam name="T">What a message is parsed into.</typeparam>
    /// <param name="parser">Called with all buffered bytes each time that more have been received. It must not call this reader.</param>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The message.</returns>
    /// <exception cref="LimitOverrunException">The message is longer than <see cref="Limit"/>; the buffer is intact.</exception>
    /// <exception cref="IncompleteReadException">The stream ended before a message; at a clean end <c>Partial</c> is empty.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    /// <exception cref="Exception">Any exception of the parser, such as <see cref="InvalidDataException"/>; the buffer is intact.</exception>
    /// <example>
    /// The peer chooses the length, so the parser checks it before it uses it.
    /// <code>
    /// static bool TryParse(ref SequenceReader&lt;byte&gt; input, out byte[] frame)
    /// {
    ///     frame = [];
    ///     if (!input.TryReadBigEndian(out int length)) return false;
    ///     if (length is &lt; 0 or &gt; 16384) throw new InvalidDataException($"A frame of {length} bytes is not 0 to 16,384.");
    ///     if (!input.TryReadExact(length, out ReadOnlySequence&lt;byte&gt; body)) return false;
    ///     frame = body.ToArray();
    ///     return true;
    /// }
    /// </code>
    /// </example>
    public ValueTask<T> ReadMessageAsync<T>(MessageParser<T> parser, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(parser);
        // One object is both the cut and its result: the parser finds the length and makes the message in one go.
        var message = MessageCut<T>.Rent(this, parser);
        return Read<MessageCut<T>, MessageCut<T>, T>(message, message, cancellationToken);
    }

    /// <summary>Yields lines, each with its <c>\n</c>, and stops at the end of the stream.</summary>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>The lines; errors are those of <see cref="ReadLineAsync"/>.</returns>
    public async IAsyncEnumerator<byte[]> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        while (await ReadLineAsync(cancellationToken).ConfigureAwait(false) is { Length: > 0 } line)
        {
            yield return line;
        }
    }

    /// <summary>Feeds a reader that has no pipe. Empty data is ignored.</summary>
    /// <param name="data">Copied. Not to be called concurrently with itself or <see cref="FeedEof"/>.</param>
    /// <exception cref="InvalidOperationException">After <see cref="FeedEof"/>, or on a reader over a connection.</exception>
    public void FeedData(ReadOnlySpan<byte> data)
    {
        Pipe fed = FedPipe();
        if (_fedEof)
        {
            throw new InvalidOperationException("FeedData was called after FeedEof: the stream has ended.");
        }

        if (data.IsEmpty)
        {
            return;
        }

        Volatile.Write(ref _arrived, _arrived + data.Length);
        fed.Writer.Write(data);
        // Completes at once: the pipe of a fed reader has no pause threshold.
        _ = fed.Writer.FlushAsync();
    }

    /// <summary>Marks the end of the stream of a reader that the caller feeds. Idempotent.</summary>
    /// <exception cref="InvalidOperationException">On a reader over a connection.</exception>
    public void FeedEof()
    {
        Pipe fed = FedPipe();
        _fedEof = true;
        fed.Writer.Complete();
    }

    /// <summary>Makes every read throw <paramref name="exception"/>, the waiting one too. Buffered bytes stay buffered.</summary>
    /// <param name="exception">The object that reads throw and that <see cref="Exception"/> returns.</param>
    public void SetException(Exception exception)
    {
        ArgumentNullException.ThrowIfNull(exception);
        _exception = exception;
        _input.CancelPendingRead();
    }

    /// <summary>Returns what Python's repr of a <c>StreamReader</c> shows.</summary>
    /// <returns>The buffered bytes, eof, a limit that is not the default, the waiting call and the exception, as far as present.</returns>
    public override string ToString()
    {
        var text = new StringBuilder("<ByteStreamReader");
        if (Buffered is > 0 and long bytes)
        {
            text.Append(CultureInfo.InvariantCulture, $" {bytes} bytes");
        }

        if (_ended || _fedEof)
        {
            text.Append(" eof");
        }

        if (Limit != DefaultLimit)
        {
            text.Append(CultureInfo.InvariantCulture, $" limit={Limit}");
        }

        if (Volatile.Read(ref _waitingCall) is string call)
        {
            text.Append(CultureInfo.InvariantCulture, $" waiter=<{call} waiting>");
        }

        if (_exception is Exception exception)
        {
            text.Append(CultureInfo.InvariantCulture, $" exception={exception.GetType().Name}('{exception.Message}')");
        }

        return text.Append('>').ToString();
    }

    private Pipe FedPipe() => _fed ?? throw new InvalidOperationException(
        "This reader reads from a connection; only a reader created with new ByteStreamReader(limit) can be fed.");
}
