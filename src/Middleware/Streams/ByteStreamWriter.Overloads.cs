using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <content>Overloads for further types of data, and writes that drain.</content>
public sealed partial class ByteStreamWriter
{
    /// <summary>
    /// The bytes written that the transport has not yet accepted: those that wait for a flush and those that wait for the peer.
    /// Source: asyncio's <c>get_write_buffer_size</c>. Over a bare pipe or a foreign transport, the bytes that wait for a flush only. Bytes within
    /// connection middleware that replaces the pipe are not counted. Thread-safe.
    /// </summary>
    public long WriteBufferSize
    {
        get
        {
            using (_gate.Enter())
            {
                return _direct is not null ? _unflushed + _direct.Queued : Math.Max(_unflushed, _link?.WriteBufferSize ?? 0);
            }
        }
    }

    /// <summary>Buffers bytes to be sent, as <see cref="Write(ReadOnlySpan{byte})"/> does.</summary>
    /// <param name="data">Copied.</param>
    /// <exception cref="InvalidOperationException">As <see cref="Write(ReadOnlySpan{byte})"/>.</exception>
    [OverloadResolutionPriority(-1)]
    public void Write(ReadOnlyMemory<byte> data) => Write(data.Span);

    /// <summary>Buffers several arrays, as one call's bytes. Empty arrays are allowed.</summary>
    /// <param name="data">Copied. No line end is added. If the list throws while it is enumerated, nothing is sent.</param>
    /// <exception cref="ArgumentNullException">The list is null.</exception>
    /// <exception cref="ArgumentException">The list contains null; nothing is sent.</exception>
    /// <exception cref="InvalidOperationException">As <see cref="Write(ReadOnlySpan{byte})"/>.</exception>
    [OverloadResolutionPriority(-1)]
    public void WriteLines(IEnumerable<byte[]> data)
    {
        ArgumentNullException.ThrowIfNull(data);
        WriteLines(data.Select(static chunk => (ReadOnlyMemory<byte>)(chunk ?? throw NullChunk(nameof(data)))));
    }

    /// <summary>Buffers several strings, as one call's bytes. Empty strings are allowed.</summary>
    /// <param name="data">No line end is added, as in asyncio. If the list throws while it is enumerated, nothing is sent.</param>
    /// <param name="encoding">UTF-8 by default; no byte-order mark is sent.</param>
    /// <exception cref="ArgumentNullException">The list is null.</exception>
    /// <exception cref="ArgumentException">The list contains null; nothing is sent.</exception>
    /// <exception cref="InvalidOperationException">As <see cref="Write(ReadOnlySpan{byte})"/>.</exception>
    [OverloadResolutionPriority(-1)]
    public void WriteLines(IEnumerable<string> data, Encoding? encoding = null)
    {
        ArgumentNullException.ThrowIfNull(data);
        Encoding used = encoding ?? Encoding.UTF8;
        WriteLines(data.Select(text => (ReadOnlyMemory<byte>)used.GetBytes(text ?? throw NullChunk(nameof(data)))));
    }

    /// <summary>Writes bytes and drains: <see cref="Write(ReadOnlySpan{byte})"/> and <see cref="DrainAsync"/> in one call.</summary>
    /// <param name="data">Copied before the method returns.</param>
    /// <param name="cancellationToken">Ends the wait only: no byte is taken back. If it is cancelled before the call, nothing is written.</param>
    /// <returns>As <see cref="DrainAsync"/>. Concurrent calls are allowed; the bytes of one call are not interleaved with others.</returns>
    /// <exception cref="InvalidOperationException">As <see cref="Write(ReadOnlySpan{byte})"/>.</exception>
    /// <exception cref="ConnectionResetException">As <see cref="DrainAsync"/>.</exception>
    public ValueTask WriteAsync(ReadOnlyMemory<byte> data, CancellationToken cancellationToken = default) =>
        WriteAsync(data.Span, cancellationToken);

    /// <inheritdoc cref="WriteAsync(ReadOnlyMemory{byte}, CancellationToken)"/>
    [OverloadResolutionPriority(-1)]
    public ValueTask WriteAsync(ReadOnlySpan<byte> data, CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(cancellationToken);
        }

        Write(data);
        return DrainAsync(cancellationToken);
    }

    /// <summary>Writes text as UTF-8 and drains: <see cref="Write(string, Encoding?)"/> and <see cref="DrainAsync"/> in one call.</summary>
    /// <param name="text">Sent as it is: no line end is added.</param>
    /// <param name="cancellationToken">Ends the wait only: no byte is taken back. If it is cancelled before the call, nothing is written.</param>
    /// <returns>As <see cref="DrainAsync"/>. Concurrent calls are allowed; the bytes of one call are not interleaved with others.</returns>
    /// <exception cref="InvalidOperationException">As <see cref="Write(ReadOnlySpan{byte})"/>.</exception>
    /// <exception cref="ConnectionResetException">As <see cref="DrainAsync"/>.</exception>
    public ValueTask WriteAsync(string text, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(cancellationToken);
        }

        Write(text);
        return DrainAsync(cancellationToken);
    }

    private static ArgumentException NullChunk(string parameter) =>
        new("The list contains null. Leave the entry out, or use an empty one.", parameter);
}
