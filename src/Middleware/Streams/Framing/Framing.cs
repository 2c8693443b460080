using System.Buffers;
using ByteStreams.Streams;

namespace ByteStreams;

/// <summary>
/// How messages are delimited in a stream of bytes. One value describes both directions:
/// <see cref="ByteStreamReader.ReadFrameAsync"/> returns the bytes that <see cref="ByteStreamWriter.WriteFrame(Framing, ReadOnlySpan{byte})"/>
/// was given.
/// </summary>
/// <remarks>
/// <para>
/// Immutable and thread-safe. Create it once, in a static field: a reader continues the search for a frame that arrives in several parts
/// only while it is given the same object.
/// </para>
/// <para>
/// <see cref="MaxLength"/> is checked as soon as the length of a frame is known, before its bytes are waited for: a hostile length allocates
/// nothing. It replaces <see cref="ByteStreamReader.Limit"/>, which does not bound frames.
/// </para>
/// </remarks>
/// <example>
/// <code>
/// private static readonly Framing Messages = Framing.LengthPrefixed(size: 4);
///
/// while (await reader.ReadFrameAsync(Messages, stopping) is byte[] request)
/// {
///     writer.WriteFrame(Messages, Answer(request));
///     await writer.DrainAsync(stopping);
/// }
/// </code>
/// </example>
public abstract partial class Framing
{
    /// <summary>The default of <see cref="MaxLength"/>: 65,536 bytes, as <see cref="ByteStreamReader.DefaultLimit"/>.</summary>
    public const int DefaultMaxLength = ByteStreamReader.DefaultLimit;

    /// <summary>The size of the buffer for <see cref="WriteHead"/>; bounds the options of <see cref="LengthPrefixed"/>.</summary>
    internal const int LongestHead = 64;

    private protected Framing(int maxLength)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxLength, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(maxLength, Array.MaxLength);
        MaxLength = maxLength;
    }

    /// <summary>The longest frame in bytes, header and delimiter not counted. A longer one fails the read or the write.</summary>
    public int MaxLength { get; }

    /// <summary>The bytes after each frame that is written.</summary>
    internal virtual ReadOnlySpan<byte> Tail => default;

    /// <summary>Finds the frame at the start of the buffer, of which at least one byte is there.</summary>
    /// <param name="buffer">All buffered bytes.</param>
    /// <param name="searched">The bytes that an earlier call has searched without finding the length.</param>
    /// <param name="reader">The reader, for the errors.</param>
    /// <returns>The bounds, also if the frame is not complete; the default value if more bytes are needed to know them.</returns>
    internal abstract FrameBounds Measure(in ReadOnlySequence<byte> buffer, ref long searched, ByteStreamReader reader);

    /// <summary>Checks what follows the content of a frame that is complete.</summary>
    internal virtual void CheckTail(in ReadOnlySequence<byte> buffer, in FrameBounds bounds, ByteStreamReader reader)
    {
    }

    /// <summary>Makes the header of a frame that is written. Throws <see cref="ArgumentException"/> if it cannot have this length.</summary>
    internal abstract FrameHead WriteHead(long length, Span<byte> head);

    /// <summary>Throws <see cref="ArgumentException"/> if a frame of this content would be read as another one.</summary>
    internal virtual void CheckContent(ReadOnlySpan<byte> content)
    {
    }

    /// <inheritdoc cref="CheckContent(ReadOnlySpan{byte})"/>
    internal virtual void CheckContent(in ReadOnlySequence<byte> content)
    {
    }

    /// <summary>The error of a frame that is written and too long.</summary>
    internal ArgumentException TooLongToWrite(long length) => Unfit(
        $"A frame of {length} bytes is longer than the maximum of {MaxLength}. Raise maxLength of the framing, on the peer's side too.");

    /// <summary>The error of a frame that the framing cannot carry.</summary>
    private protected static ArgumentException Unfit(string message, string parameter = "frame") => new(message, parameter);

    /// <summary>The first bytes as one span, at least as many as fit into <paramref name="copy"/>, if there are.</summary>
    private protected static ReadOnlySpan<byte> FirstBytes(in ReadOnlySequence<byte> buffer, Span<byte> copy)
    {
        if (buffer.IsSingleSegment)
        {
            return buffer.FirstSpan;
        }

        copy = copy[..(int)Math.Min(buffer.Length, copy.Length)];
        buffer.Slice(0, copy.Length).CopyTo(copy);
        return copy;
    }

    private protected LimitOverrunException TooLong(ByteStreamReader reader, in ReadOnlySequence<byte> buffer, string what) =>
        new($"{what} is longer than the maximum of {MaxLength}.", (int)Math.Min(buffer.Length, int.MaxValue))
        {
            Reader = reader,
            Reason = ConnectionCloseReason.FrameTooLong,
        };

    private protected static InvalidFrameException Invalid(ByteStreamReader reader, string what) => new(what) { Reader = reader };
}
