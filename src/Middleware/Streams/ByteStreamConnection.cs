using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// A connection that this program opened: its reader and its writer, which it deconstructs into. Disposing it closes the writer
/// and waits for the close.
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

    /// <summary>What the peer sends.</summary>
    public ByteStreamReader Reader { get; }

    /// <summary>What is sent to the peer.</summary>
    public ByteStreamWriter Writer { get; }

    /// <summary>Splits the connection into its two halves.</summary>
    /// <param name="reader"><see cref="Reader"/>.</param>
    /// <param name="writer"><see cref="Writer"/>.</param>
    public void Deconstruct(out ByteStreamReader reader, out ByteStreamWriter writer)
    {
        reader = Reader;
        writer = Writer;
    }

    /// <summary>
    /// Closes the writer and waits until the transport has taken everything that was written. A lost connection is no error here. Where the
    /// peer has not ended, the close goes on by itself for up to <see cref="ByteStreamTransportOptions.LingerTimeout"/>;
    /// <see cref="ByteStreamWriter.WaitClosedAsync"/> waits for that as well.
    /// </summary>
    /// <returns>Done when nothing that was written is left in this process.</returns>
    public async ValueTask DisposeAsync()
    {
        Writer.Close();
        await ConnectionLink.Progress(Writer.Transport!).OutputFinished.ConfigureAwait(false);
        Reader.Detach();
        // What lies over the connection, such as TLS, gives its blocks back too.
        await Writer.Transport!.Transport.Input.CompleteAsync().ConfigureAwait(false);
        await Writer.Transport!.DisposeAsync().ConfigureAwait(false);
    }
}
