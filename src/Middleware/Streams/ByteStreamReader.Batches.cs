using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace ByteStreams;

/// <content>Reads of all buffered messages after one wait.</content>
public sealed partial class ByteStreamReader
{
    // Positions of the stream. A Try call that found no whole message has seen all bytes before _examined; no newline is in the unread bytes
    // before _lineExamined.
    private long _examined;
    private long _lineExamined;

    // The bytes that the last failed TryReadExactly lacked; 0 after another call.
    private int _missing;
    private UntilSearch? _untilSearch;

    /// <summary>
    /// Waits for bytes, for a loop that then takes all buffered messages with <see cref="TryReadLine"/>,
    /// <see cref="TryReadUntil(ReadOnlyMemory{byte}, out ReadOnlySequence{byte})"/>, <see cref="TryReadExactly"/> or
    /// <see cref="TryReadMessage{T}(MessageParser{T}, out T)"/>.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait; no byte is lost.</param>
    /// <returns>
    /// True if the reader holds bytes that no failed <c>TryRead…</c> call has examined, or has received EOF and still holds bytes. False at
    /// the end of the stream. After a failed <c>TryRead…</c> call the wait is for more bytes, even if the buffered bytes contain a message
    /// of another format.
    /// </returns>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    /// <remarks>
    /// Before it waits, the bytes of the connection's writer are sent. A wait invalidates borrowed bytes. A failure of the connection is
    /// thrown as from every read; see <see cref="Exception"/>.
    /// </remarks>
    /// <example>
    /// <code>
    /// while (await reader.WaitToReadAsync(stopping))
    /// {
    ///     while (reader.TryReadLine(out ReadOnlySequence&lt;byte&gt; line))
    ///     {
    ///         writer.Write(line);
    ///     }
    ///
    ///     await writer.DrainAsync(stopping);
    /// }
    /// </code>
    /// </example>
    public ValueTask<bool> WaitToReadAsync(CancellationToken cancellationToken = default) =>
        Read<WaitCut, WaitResult, bool>(default, new(this), cancellationToken);

    /// <summary>Takes a line from the buffered bytes, through its <c>\n</c>, without a wait, a copy or an allocation.</summary>
    /// <param name="line">
    /// The connection's own buffers, valid until the next call on this reader. At the end of the stream the remaining bytes, without
    /// <c>\n</c>. Empty if there is no line.
    /// </param>
    /// <returns>Whether there is a line; if not, await <see cref="WaitToReadAsync"/>.</returns>
    /// <exception cref="LimitOverrunException">As <see cref="ReadLineAsync"/>: the line has been discarded.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    /// <exception cref="Exception">The connection has failed: <see cref="Exception"/>.</exception>
    /// <remarks>Not thread-safe: call it from the task that reads.</remarks>
    public bool TryReadLine(out ReadOnlySequence<byte> line)
    {
        BeginTry(nameof(TryReadLine));
        try
        {
            if (HasMore())
            {
                var cut = new LineCut(nameof(TryReadLine), _lineExamined);
                long length = cut.Measure(this);
                if (length >= 0)
                {
                    line = Cut(length);
                    return true;
                }

                MarkExamined();
                _lineExamined = _examined;
            }

            line = default;
            return false;
        }
        finally
        {
            EndTry();
        }
    }

    /// <summary>Takes exactly <paramref name="n"/> buffered bytes without a wait, a copy or an allocation. <see cref="Limit"/> does not bound it.</summary>
    /// <param name="n">How many bytes; 0 returns true at once.</param>
    /// <param name="bytes">The connection's own buffers, valid until the next call on this reader. Empty if fewer bytes are buffered.</param>
    /// <returns>
    /// Whether <paramref name="n"/> bytes were buffered; if not, await <see cref="WaitToReadAsync"/>. False at the end of the stream if
    /// no byte is left.
    /// </returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="n"/> is negative.</exception>
    /// <exception cref="IncompleteReadException">The stream ended after fewer bytes, at least one; the exception has them.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    /// <exception cref="Exception">The connection has failed: <see cref="Exception"/>.</exception>
    /// <remarks>Not thread-safe: call it from the task that reads.</remarks>
    public bool TryReadExactly(int n, out ReadOnlySequence<byte> bytes)
    {
        var cut = new ExactCut(nameof(TryReadExactly), n);
        if (n < 0)
        {
            throw cut.Check()!;
        }

        BeginTry(nameof(TryReadExactly));
        try
        {
            if (HasMore())
            {
                if (cut.Measure(this) >= 0)
                {
                    bytes = n == 0 ? default : Cut(n);
                    return true;
                }

                MarkExamined();
                _missing = (int)(n - _buffer.Length);
            }
            else if (n > 0 && !_ended)
            {
                // For the size of the next receive; nothing was examined.
                _examined = _position;
                _missing = n;
            }

            bytes = default;
            return n == 0;
        }
        finally
        {
            EndTry();
        }
    }

    /// <summary>Takes the buffered bytes through <paramref name="separator"/>, without a wait, a copy or an allocation.</summary>
    /// <param name="separator">
    /// One or more bytes. While it has the same content, the next call continues the search; each byte is searched once.
    /// </param>
    /// <param name="record">
    /// The connection's own buffers, through the separator, valid until the next call on this reader. Empty if there is no record.
    /// </param>
    /// <returns>
    /// Whether the separator was found; if not, await <see cref="WaitToReadAsync"/>. False at the end of the stream if no byte is left.
    /// </returns>
    /// <exception cref="ArgumentException">The separator is empty.</exception>
    /// <exception cref="IncompleteReadException">The stream ended before a separator and bytes were left; the exception has them.</exception>
    /// <exception cref="LimitOverrunException">The record is longer than <see cref="Limit"/>; the buffer is intact.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    /// <exception cref="Exception">The connection has failed: <see cref="Exception"/>.</exception>
    /// <remarks>Not thread-safe: call it from the task that reads.</remarks>
    public bool TryReadUntil(ReadOnlyMemory<byte> separator, out ReadOnlySequence<byte> record)
    {
        if (separator.IsEmpty)
        {
            throw UntilCut.EmptySeparator(nameof(TryReadUntil));
        }

        BeginTry(nameof(TryReadUntil));
        try
        {
            if (HasMore())
            {
                UntilSearch search = _untilSearch ??= new();
                search.LookFor(separator);
                return TryUntil(search, out record);
            }

            record = default;
            return false;
        }
        finally
        {
            EndTry();
        }
    }

    /// <summary>
    /// Takes the buffered bytes through the one of <paramref name="separators"/> that ends first (of two that end at the same byte, the
    /// shorter), without a wait, a copy or an allocation.
    /// </summary>
    /// <param name="separators">
    /// One or more separators, none of them empty. While they have the same content, the next call continues the search.
    /// </param>
    /// <param name="record">
    /// The connection's own buffers, through the separator, valid until the next call on this reader. Empty if there is no record.
    /// </param>
    /// <returns>
    /// Whether a separator was found; if not, await <see cref="WaitToReadAsync"/>. False at the end of the stream if no byte is left.
    /// </returns>
    /// <exception cref="ArgumentException">There is no separator, or an empty one.</exception>
    /// <exception cref="IncompleteReadException">The stream ended before a separator and bytes were left; the exception has them.</exception>
    /// <exception cref="LimitOverrunException">The record is longer than <see cref="Limit"/>; the buffer is intact.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    /// <exception cref="Exception">The connection has failed: <see cref="Exception"/>.</exception>
    /// <remarks>Not thread-safe: call it from the task that reads.</remarks>
    public bool TryReadUntil(IReadOnlyList<ReadOnlyMemory<byte>> separators, out ReadOnlySequence<byte> record)
    {
        BeginTry(nameof(TryReadUntil));
        try
        {
            // Also with an empty buffer, so that the first call reports invalid arguments.
            UntilSearch search = _untilSearch ??= new();
            search.LookFor(separators);
            if (HasMore())
            {
                return TryUntil(search, out record);
            }

            record = default;
            return false;
        }
        finally
        {
            EndTry();
        }
    }

    /// <summary>Takes a message from the buffered bytes with <paramref name="parser"/>, without a wait.</summary>
    /// <typeparam name="T">What a message is parsed into.</typeparam>
    /// <param name="parser">Called with all buffered bytes, if there are any. It must not call this reader.</param>
    /// <param name="message">The message. Slices of the input that it has are valid until the next call on this reader.</param>
    /// <returns>
    /// Whether there is a whole message; if not, await <see cref="WaitToReadAsync"/>. False at the end of the stream if no byte is left.
    /// </returns>
    /// <exception cref="LimitOverrunException">The message is longer than <see cref="Limit"/>; the buffer is intact.</exception>
    /// <exception cref="IncompleteReadException">The stream ended before a whole message and bytes were left; the exception has them.</exception>
    /// <exception cref="InvalidOperationException">Another read is waiting.</exception>
    /// <exception cref="Exception">
    /// The connection has failed: <see cref="Exception"/>. Or any exception of the parser; the buffer is intact.
    /// </exception>
    /// <remarks>Not thread-safe: call it from the task that reads. <see cref="ReadMessageAsync{T}(MessageParser{T}, CancellationToken)"/> has an example of a parser.</remarks>
    public bool TryReadMessage<T>(MessageParser<T> parser, [MaybeNullWhen(false)] out T message)
    {
        ArgumentNullException.ThrowIfNull(parser);
        BeginTry(nameof(TryReadMessage));
        try
        {
            if (HasMore())
            {
                long length = MeasureMessage(parser, out message);
                if (length >= 0)
                {
                    if (length > 0)
                    {
                        Discard(length);
                    }

                    return true;
                }

                MarkExamined();
            }

            message = default;
            return false;
        }
        finally
        {
            EndTry();
        }
    }

    private bool TryUntil(UntilSearch search, out ReadOnlySequence<byte> record)
    {
        long length = search.Cut.Measure(this);
        if (length >= 0)
        {
            record = Cut(length);
            return true;
        }

        MarkExamined();
        record = default;
        return false;
    }

    /// <summary>
    /// Takes exclusive access for a Try call without an interlocked operation, because Try calls are not thread-safe. A call that begins
    /// later on another thread waits, as for every read.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void BeginTry(string call)
    {
        if (Volatile.Read(ref _state) == Idle)
        {
            Volatile.Write(ref _state, Busy);
        }
        else
        {
            EnterForTry(call);
        }
    }

    private void EndTry() => Volatile.Write(ref _state, Idle);

    private void EnterForTry(string call)
    {
        if (Enter() == Waiting)
        {
            Volatile.Write(ref _state, Waiting);
            throw Collision(call);
        }
    }

    /// <summary>Whether bytes are buffered; throws the reader's exception. Under exclusive access.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool HasMore()
    {
        if (_exception is Exception exception)
        {
            throw exception;
        }

        if (_fed is not null)
        {
            CatchUp();
        }

        return !_buffer.IsEmpty;
    }

    private void MarkExamined()
    {
        _examined = _position + _buffer.Length;
        _missing = 0;
    }

    /// <summary>The stream below is replaced: the bytes at the current position are other bytes, and none of them was examined.</summary>
    private void ForgetBatch()
    {
        _examined = 0;
        _lineExamined = 0;
        _missing = 0;
        _untilSearch = null;
        _frameSearch = null;
    }

    /// <summary>Waits for bytes that no Try call has examined, and takes none.</summary>
    private struct WaitCut : ICut
    {
        public readonly string Call => nameof(WaitToReadAsync);

        /// <summary>As for <see cref="ExactCut"/>: a large message is received in few parts.</summary>
        public int Needs { get; private set; }

        public readonly Exception? Check() => null;

        public long Measure(ByteStreamReader reader)
        {
            long buffered = reader._buffer.Length;
            if (reader._ended || (buffered > 0 && reader._position + buffered > reader._examined))
            {
                return 0;
            }

            if (reader._missing > 0 && reader._position + buffered == reader._examined)
            {
                Needs = (int)Math.Min(int.MaxValue, buffered + reader._missing);
            }

            return -1;
        }
    }

    private readonly struct WaitResult(ByteStreamReader reader) : IResult<bool>
    {
        public bool Owned => false;

        public bool Make(in ReadOnlySequence<byte> bytes) => !reader._buffer.IsEmpty;
    }

    /// <summary>
    /// What <c>TryReadUntil</c> looks for, and how far it has searched. Has its own copy of the separators, because the caller may change
    /// theirs between two calls.
    /// </summary>
    private sealed class UntilSearch
    {
        private readonly ReadOnlyMemory<byte>[] _given = new ReadOnlyMemory<byte>[SeparatorAutomaton.MostPasses];
        private readonly ReadOnlyMemory<byte>[] _sorted = new ReadOnlyMemory<byte>[SeparatorAutomaton.MostPasses];
        private byte[] _bytes = [];
        private int _count;
        private SeparatorAutomaton? _many;

        /// <summary>The search; not read-only, because a search changes its position.</summary>
        public UntilCut Cut;

        public void LookFor(ReadOnlyMemory<byte> separator)
        {
            if (_count == 1 && _given[0].Span.SequenceEqual(separator.Span))
            {
                return;
            }

            Clear(separator.Length);
            Add(separator.Span, offset: 0);
            Cut = new UntilCut(nameof(TryReadUntil), _given[0]);
        }

        public void LookFor(IReadOnlyList<ReadOnlyMemory<byte>> separators)
        {
            if (separators is not { Count: > 0 })
            {
                throw UntilCut.NoSeparator(nameof(TryReadUntil));
            }

            if (separators.Count > SeparatorAutomaton.MostPasses)
            {
                LookForMany(SeparatorAutomaton.For(separators));
                return;
            }

            if (IsFor(separators))
            {
                return;
            }

            int length = 0;
            for (int i = 0; i < separators.Count; i++)
            {
                length += separators[i].IsEmpty ? throw UntilCut.EmptySeparator(nameof(TryReadUntil)) : separators[i].Length;
            }

            Clear(length);
            int offset = 0;
            for (int i = 0; i < separators.Count; i++)
            {
                Add(separators[i].Span, offset);
                offset += separators[i].Length;
            }

            Cut = _count == 1 ? new UntilCut(nameof(TryReadUntil), _given[0]) : new UntilCut(nameof(TryReadUntil), _sorted, _count);
        }

        private void LookForMany(SeparatorAutomaton many)
        {
            if (many == _many)
            {
                return;
            }

            if (many.Shortest == 0)
            {
                throw UntilCut.EmptySeparator(nameof(TryReadUntil));
            }

            _count = 0;
            _many = many;
            Cut = new UntilCut(nameof(TryReadUntil), many);
        }

        private bool IsFor(IReadOnlyList<ReadOnlyMemory<byte>> separators)
        {
            if (separators.Count != _count)
            {
                return false;
            }

            for (int i = 0; i < _count; i++)
            {
                if (!_given[i].Span.SequenceEqual(separators[i].Span))
                {
                    return false;
                }
            }

            return true;
        }

        private void Clear(int capacity)
        {
            _many = null;
            _count = 0;
            if (_bytes.Length < capacity)
            {
                _bytes = new byte[capacity];
            }
        }

        /// <summary>Appends a copy, and inserts it after those that are not longer.</summary>
        private void Add(ReadOnlySpan<byte> separator, int offset)
        {
            separator.CopyTo(_bytes.AsSpan(offset));
            ReadOnlyMemory<byte> copy = _bytes.AsMemory(offset, separator.Length);
            int at = _count;
            for (; at > 0 && _sorted[at - 1].Length > copy.Length; at--)
            {
                _sorted[at] = _sorted[at - 1];
            }

            _sorted[at] = copy;
            _given[_count++] = copy;
        }
    }
}
