using System.Buffers;
using System.Text.Json.Serialization.Metadata;
using ByteStreams.Streams;

namespace ByteStreams;

/// <content>Frames, and messages in frames.</content>
public sealed partial class ByteStreamWriter
{
    /// <summary>Buffers one frame to be sent, with the header and the delimiter of <paramref name="framing"/>.</summary>
    /// <param name="framing">The same as the peer reads.</param>
    /// <param name="frame">Copied. What <see cref="ByteStreamReader.ReadFrameAsync"/> returns on the other side.</param>
    /// <exception cref="ArgumentException">
    /// The framing cannot carry the frame: it is longer than <see cref="Framing.MaxLength"/> or than its length field can express, contains the
    /// delimiter, or is not of the fixed length. Nothing was written.
    /// </exception>
    /// <exception cref="InvalidOperationException">As <see cref="Write(ReadOnlySpan{byte})"/>.</exception>
    /// <remarks>Concurrent calls are allowed; frames never interleave. Otherwise as <see cref="Write(ReadOnlySpan{byte})"/>.</remarks>
    public void WriteFrame(Framing framing, ReadOnlySpan<byte> frame)
    {
        ArgumentNullException.ThrowIfNull(framing);
        Span<byte> head = stackalloc byte[Framing.LongestHead];
        FrameHead parts = Begin(framing, frame.Length, head);
        framing.CheckContent(frame);
        using (_gate.Enter())
        {
            if (CanWrite())
            {
                AppendPart(frame[..parts.At]);
                AppendPart(head[..parts.Length]);
                AppendPart(frame[(parts.At + parts.Replaced)..]);
                AppendPart(framing.Tail);
                Wrote();
            }
        }
    }

    /// <inheritdoc cref="WriteFrame(Framing, ReadOnlySpan{byte})"/>
    public void WriteFrame(Framing framing, in ReadOnlySequence<byte> frame)
    {
        if (frame.IsSingleSegment)
        {
            WriteFrame(framing, frame.FirstSpan);
            return;
        }

        ArgumentNullException.ThrowIfNull(framing);
        Span<byte> head = stackalloc byte[Framing.LongestHead];
        FrameHead parts = Begin(framing, frame.Length, head);
        framing.CheckContent(frame);
        using (_gate.Enter())
        {
            if (CanWrite())
            {
                AppendParts(frame.Slice(0, parts.At));
                AppendPart(head[..parts.Length]);
                AppendParts(frame.Slice(parts.At + parts.Replaced));
                AppendPart(framing.Tail);
                Wrote();
            }
        }
    }

    /// <summary>Buffers one message to be sent: JSON in a frame.</summary>
    /// <typeparam name="T">The message's type.</typeparam>
    /// <param name="framing">The same as the peer reads.</param>
    /// <param name="message">Serialized before the call returns.</param>
    /// <param name="typeInfo">How, from a source-generated <c>JsonSerializerContext</c>: no reflection, safe for Native AOT.</param>
    /// <exception cref="ArgumentException">As <see cref="WriteFrame(Framing, ReadOnlySpan{byte})"/>. Nothing was written.</exception>
    /// <exception cref="InvalidOperationException">As <see cref="Write(ReadOnlySpan{byte})"/>.</exception>
    /// <remarks>Errors of the serializer are thrown unchanged; nothing was written. Concurrent calls are allowed.</remarks>
    public void WriteMessage<T>(Framing framing, T message, JsonTypeInfo<T> typeInfo)
    {
        ArgumentNullException.ThrowIfNull(framing);
        ArgumentNullException.ThrowIfNull(typeInfo);
        FrameBuffer buffer = FrameBuffer.Rent(framing);
        try
        {
            buffer.Serialize(message, typeInfo);
            WriteFrame(framing, buffer.Written);
        }
        finally
        {
            buffer.Return();
        }
    }

    /// <summary>Buffers one message to be sent, by any serializer.</summary>
    /// <typeparam name="T">The message's type.</typeparam>
    /// <param name="framing">The same as the peer reads.</param>
    /// <param name="message">Given to <paramref name="serialize"/>.</param>
    /// <param name="serialize">Writes the content of the frame. Called once, before the call returns. It must not keep the buffer.</param>
    /// <exception cref="ArgumentException">As <see cref="WriteFrame(Framing, ReadOnlySpan{byte})"/>. Nothing was written.</exception>
    /// <exception cref="InvalidOperationException">As <see cref="Write(ReadOnlySpan{byte})"/>.</exception>
    /// <remarks>Errors of <paramref name="serialize"/> are thrown unchanged; nothing was written. Concurrent calls are allowed.</remarks>
    public void WriteMessage<T>(Framing framing, T message, Action<T, IBufferWriter<byte>> serialize)
    {
        ArgumentNullException.ThrowIfNull(framing);
        ArgumentNullException.ThrowIfNull(serialize);
        FrameBuffer buffer = FrameBuffer.Rent(framing);
        try
        {
            serialize(message, buffer);
            WriteFrame(framing, buffer.Written);
        }
        finally
        {
            buffer.Return();
        }
    }

    private static FrameHead Begin(Framing framing, long length, Span<byte> head) => length <= framing.MaxLength
        ? framing.WriteHead(length, head)
        : throw framing.TooLongToWrite(length);

    private void AppendPart(ReadOnlySpan<byte> part)
    {
        if (!part.IsEmpty)
        {
            Append(part);
        }
    }

    private void AppendParts(in ReadOnlySequence<byte> parts)
    {
        foreach (ReadOnlyMemory<byte> part in parts)
        {
            AppendPart(part.Span);
        }
    }
}
