using ByteStreams.Streams;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// An outbound connection: a reader and a writer, into which it deconstructs. Disposing it closes the writer and waits for the close.
/// </summary>
/// <example>
/// <code>
/// await using var connection = await ByteStream.OpenConnectionAsync("127.0.0.1", 7007);
/// var (reader, writer) = connection;
/// writer.Write("hello\n");
/// Console.WriteLine(await reader.ReadTextLineAsync());
/// </code>
/// </example>
public sealed class ByteStreamConnection : IAsyncDisposable
{
    internal ByteStreamConnection(ConnectionContext context, int limit, ILogger logger, string openedAt)
    {
        Reader = new ByteStreamReader(context.Transport.Input, limit);
        Writer = new ByteStreamWriter(context.Transport.Output, Reader, context, logger, DeferredFlush.Shared);
        Writer.Guard(new AbandonedGuard(context, logger, openedAt));
    }

    /// <summary>Reads what the peer sends.</summary>
    public ByteStreamReader Reader { get; }

    /// <summary>Writes to the peer.</summary>
    public ByteStreamWriter Writer { get; }

    /// <summary>The middleware of the connection; null without any.</summary>
    internal IOutboundMiddleware? Middleware { get; init; }

    /// <summary>Splits the connection into its two halves.</summary>
    /// <param name="reader"><see cref="Reader"/>.</param>
    /// <param name="writer"><see cref="Writer"/>.</param>
    public void Deconstruct(out ByteStreamReader reader, out ByteStreamWriter writer)
    {
        reader = Reader;
        writer = Writer;
    }

    /// <summary>
    /// Discards what is buffered and resets the connection, as <see cref="ByteStreamWriter.Abort()"/> does. Idempotent. Dispose the connection
    /// after it as well.
    /// </summary>
    public void Abort() => Writer.Abort();

    /// <summary>
    /// Closes the writer and waits until the transport has accepted all written bytes. A failed connection is not reported. If the peer has
    /// not sent EOF, the close continues in the background for up to <see cref="ByteStreamTransportOptions.LingerTimeout"/>;
    /// <see cref="ByteStreamWriter.WaitClosedAsync"/> waits for that too.
    /// </summary>
    /// <returns>A task that completes when no written byte is left in this process.</returns>
    public async ValueTask DisposeAsync()
    {
        Writer.Close();
        await ConnectionLink.Progress(Writer.Transport!).OutputFinished.ConfigureAwait(false);
        Reader.Detach();
        if (Middleware is not null)
        {
            await Middleware.EndAsync().ConfigureAwait(false);
        }

        // Connection middleware such as TLS returns its buffers on completion.
        await Writer.Transport!.Transport.Input.CompleteAsync().ConfigureAwait(false);
        await Writer.Transport!.DisposeAsync().ConfigureAwait(false);
    }
}
