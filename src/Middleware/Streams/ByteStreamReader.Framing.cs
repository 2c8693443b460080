using System.Buffers;
using System.Text;

namespace ByteStreams;

/// <content>The framing of each type of read, and its result.</content>
public sealed partial class ByteStreamReader
{
    /// <summary>Up to n bytes (n &gt;= 0), or everything up to the end of the stream (n = -1): R2, R3, R4.</summary>
    private readonly struct SomeCut(string call, int n) : ICut
    {
        public string Call => call;

        public int Needs => 0;

        public Exception? Check() => null;

        public long Measure(ByteStreamReader reader)
        {
            long buffered = reader._buffer.Length;
            if (n < 0)
            {
                return reader._ended ? buffered : -1;
            }

            return buffered > 0 || n == 0 || reader._ended ? Math.Min(buffered, n) : -1;
        }
    }

    /// <summary>Exactly n bytes: R6.</summary>
    private readonly struct ExactCut(string call, int n) : ICut
    {
        public string Call => call;

        public int Needs => n;

        public Exception? Check() => n < 0
            ? new ArgumentOutOfRangeException(nameof(n), n, $"{call} takes zero or more bytes.")
            : null;

        public long Measure(ByteStreamReader reader)
        {
            if (reader._buffer.Length >= n)
            {
                return n;
            }

            return reader._ended ? throw new IncompleteReadException(reader.DiscardAll(), n) { Reader = reader } : -1;
        }
    }

    /// <summary>Through a newline: R9, R13.</summary>
    private struct LineCut(string call, long searched = 0) : ICut
    {
        // Everything before this position of the stream has been searched (R21).
        private long _searched = searched;

        public readonly string Call => call;

        public readonly int Needs => 0;

        public readonly Exception? Check() => null;

        public long Measure(ByteStreamReader reader)
        {
            long from = Math.Max(0, _searched - reader._position);
            long newline = reader._buffer.IndexOf((byte)'\n', from);
            if (newline >= 0)
            {
                if (newline <= reader.Limit)
                {
                    return newline + 1;
                }

                reader.Discard(newline + 1);
                throw reader.Overrun($"A line of {newline} bytes is longer than the limit of {reader.Limit}.", (int)newline);
            }

            long buffered = reader._buffer.Length;
            if (buffered > reader.Limit)
            {
                reader.Discard(buffered);
                throw reader.Overrun($"{buffered} bytes without a newline are over the limit of {reader.Limit}.", (int)buffered);
            }

            _searched = reader._position + buffered;
            return reader._ended ? buffered : -1;
        }
    }

    /// <summary>Through the separator that ends first: R7 to R12.</summary>
    private struct UntilCut : ICut
    {
        private readonly IReadOnlyList<ReadOnlyMemory<byte>>? _given;
        private ReadOnlyMemory<byte> _one;
        private ReadOnlyMemory<byte>[]? _some;
        private int _count;
        private SeparatorAutomaton? _many;
        private int _state;

        // The search began at _start; everything before _searched has been searched (R21). Both are positions of the stream.
        private long _start;
        private long _searched;

        public UntilCut(string call, ReadOnlyMemory<byte> separator)
        {
            Call = call;
            _one = separator;
        }

        public UntilCut(string call, IReadOnlyList<ReadOnlyMemory<byte>> separators)
        {
            Call = call;
            _given = separators ?? [];
        }

        /// <summary>The first <paramref name="count"/> separators of an array that is sorted by length.</summary>
        public UntilCut(string call, ReadOnlyMemory<byte>[] sorted, int count)
        {
            Call = call;
            _one = sorted[0];
            _some = sorted;
            _count = count;
        }

        public UntilCut(string call, SeparatorAutomaton many)
        {
            Call = call;
            _many = many;
        }

        public string Call { get; }

        public readonly int Needs => 0;

        public Exception? Check()
        {
            if (_given is { Count: 0 })
            {
                return NoSeparator(Call);
            }

            if (_given is { Count: 1 })
            {
                _one = _given[0];
            }
            else if (_given is { Count: <= SeparatorAutomaton.MostPasses })
            {
                _some = _given is ReadOnlyMemory<byte>[] array && IsSortedByLength(array)
                    ? array
                    : [.. _given.OrderBy(static separator => separator.Length)];
                _one = _some[0];
                _count = _some.Length;
            }
            else if (_given is not null)
            {
                _many = SeparatorAutomaton.For(_given);
            }

            return (_many?.Shortest ?? _one.Length) == 0 ? EmptySeparator(Call) : null;
        }

        public static ArgumentException NoSeparator(string call, string parameter = "separators") =>
            new($"{call} takes at least one separator.", parameter);

        public static ArgumentException EmptySeparator(string call, string parameter = "separator") =>
            new($"{call} takes separators of at least one byte.", parameter);

        public long Measure(ByteStreamReader reader)
        {
            if (_start != reader._position)
            {
                // Bytes were taken that this search has passed. A separator that began in them is gone.
                (_start, _searched, _state) = (reader._position, 0, 0);
            }

            long buffered = reader._buffer.Length;
            int state = _state;
            if (TryFind(reader._buffer, Math.Max(0, _searched - reader._position), out long start, out long end, out int longest))
            {
                if (start <= reader.Limit)
                {
                    return end;
                }

                // The buffer is intact: a further search continues at the same byte, in the same state.
                _state = state;
                throw reader.Overrun(
                    $"A record of {start} bytes before its separator is longer than the limit of {reader.Limit}.", (int)start);
            }

            // No separator can begin before it.
            long cleared = Math.Max(0, buffered + 1 - longest);
            if (cleared > reader.Limit)
            {
                _state = state;
                throw reader.Overrun(
                    $"{cleared} bytes without a separator are over the limit of {reader.Limit}.", (int)cleared);
            }

            _searched = reader._position + (_many is null ? cleared : buffered);
            return reader._ended ? throw new IncompleteReadException(reader.DiscardAll(), null) { Reader = reader } : -1;
        }

        private bool TryFind(in UnreadBytes buffer, long from, out long start, out long end, out int longest)
        {
            if (_many is not null)
            {
                longest = _many.Longest;
                return _many.TryFind(buffer.Sequence, from, ref _state, out start, out end);
            }

            ReadOnlySpan<ReadOnlyMemory<byte>> separators =
                _some is null ? new ReadOnlySpan<ReadOnlyMemory<byte>>(in _one) : new ReadOnlySpan<ReadOnlyMemory<byte>>(_some, 0, _count);
            longest = separators[^1].Length;
            (start, end) = (-1, -1);
            return buffer.Length - from >= _one.Length && Separators.TryFind(buffer.Sequence, from, separators, out start, out end);
        }

        private static bool IsSortedByLength(ReadOnlySpan<ReadOnlyMemory<byte>> separators)
        {
            for (int i = 1; i < separators.Length; i++)
            {
                if (separators[i].Length < separators[i - 1].Length)
                {
                    return false;
                }
            }

            return true;
        }
    }

    /// <summary>One message, by the caller's parser. An object, because the message outlives the search.</summary>
    private sealed class MessageCut<T> : ICut, IResult<T>
    {
        private readonly ByteStreamReader _owner;
        private MessageParser<T>? _parser;
        private T? _message;

        private MessageCut(ByteStreamReader owner) => _owner = owner;

        public string Call => nameof(ReadMessageAsync);

        public int Needs => 0;

        public bool Owned => true;

        /// <summary>Returns the reader's cached instance: sequential reads of messages need one in all.</summary>
        public static MessageCut<T> Rent(ByteStreamReader owner, MessageParser<T> parser)
        {
            MessageCut<T> cut = Interlocked.Exchange(ref owner._spareMessageCut, null) as MessageCut<T> ?? new(owner);
            cut._parser = parser;
            return cut;
        }

        public Exception? Check() => null;

        public long Measure(ByteStreamReader reader) => reader.MeasureMessage(_parser!, out _message);

        public T Make(in ReadOnlySequence<byte> bytes)
        {
            T message = _message!;
            _message = default;
            _parser = null;
            _owner._spareMessageCut = this;
            return message;
        }
    }

    private readonly struct OwnedResult : IResult<byte[]>
    {
        public bool Owned => true;

        public byte[] Make(in ReadOnlySequence<byte> bytes) => bytes.IsEmpty ? [] : bytes.ToArray();
    }

    private readonly struct BorrowedResult : IResult<ReadOnlySequence<byte>>
    {
        public bool Owned => false;

        public ReadOnlySequence<byte> Make(in ReadOnlySequence<byte> bytes) => bytes;
    }

    private readonly struct FilledResult(Memory<byte> destination) : IResult<int>
    {
        public bool Owned => true;

        public int Make(in ReadOnlySequence<byte> bytes)
        {
            bytes.CopyTo(destination.Span);
            return (int)bytes.Length;
        }
    }

    private readonly struct TextResult(Encoding encoding) : IResult<string?>
    {
        public bool Owned => true;

        public string? Make(in ReadOnlySequence<byte> bytes)
        {
            if (bytes.IsEmpty)
            {
                return null;
            }

            string line = encoding.GetString(bytes);
            int end = line.EndsWith('\n') ? line.Length - 1 : line.Length;
            return line[..(end > 0 && end < line.Length && line[end - 1] == '\r' ? end - 1 : end)];
        }
    }
}
