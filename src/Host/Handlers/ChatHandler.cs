using System.Text;
using ByteStreams;

namespace StreamsHost.Handlers;

/// <summary>
/// Broadcasts lines to every connected client, including the sender. A client that reads too slowly is disconnected: no client waits for
/// another, and a connected client misses no line.
/// </summary>
internal sealed partial class ChatHandler(ChatRoom room, TimeProvider time, ILogger<ChatHandler> logger) : ByteStreamHandler
{
    /// <summary>The bytes written before a drain, or one longer line: the memory of a stalled client.</summary>
    private const int BatchBytes = 65536;

    /// <summary>
    /// The time to send one batch, to its last byte: progress does not extend it, because a client that reads a byte a minute would otherwise
    /// keep its buffers forever.
    /// </summary>
    private static readonly TimeSpan BatchTimeout = TimeSpan.FromSeconds(30);

    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        ChatMember member = room.Join();
        using var leaving = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        Task sending = SendAsync(member, writer);
        Task receiving = ReceiveAsync(reader, leaving.Token);
        await Task.WhenAny(sending, receiving, member.Dropped);

        room.Leave(member);
        member.Complete();
        await leaving.CancelAsync();
        // The last lines have the same timeout: the client may not read any more.
        Task ending = Task.WhenAll(sending, receiving);
        await Task.WhenAny(ending, member.Dropped);
        if (member.Dropped.IsCompleted)
        {
            Dropped(logger, await member.Dropped);
            // It does not read: its queued lines would never be sent.
            writer.Abort();
        }

        await ending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!member.Dropped.IsCompleted)
        {
            // The queued lines were sent, or this throws the failure of the connection.
            await sending;
            await receiving;
        }
    }

    private async Task ReceiveAsync(ByteStreamReader reader, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                byte[] line = await reader.ReadLineAsync(cancellationToken);
                if (line.Length == 0)
                {
                    return;
                }

                room.Broadcast(line[^1] == (byte)'\n' ? line : [.. line, (byte)'\n']);
            }
            catch (LimitOverrunException)
            {
                room.Broadcast(Encoding.UTF8.GetBytes($"(a line over {reader.Limit} bytes was dropped)\n"));
            }
        }
    }

    private async Task SendAsync(ChatMember member, ByteStreamWriter writer)
    {
        // A drain waits until the kernel has accepted everything, so that the timeout covers the whole batch.
        writer.SetWriteBufferLimits(high: 0);
        while (await member.WaitAsync())
        {
            long written = 0;
            while (member.TryTake(written == 0 ? long.MaxValue : BatchBytes - written, out byte[]? line))
            {
                writer.Write(line);
                written += line.Length;
            }

            ValueTask drain = writer.DrainAsync();
            if (drain.IsCompletedSuccessfully)
            {
                continue;
            }

            Task draining = drain.AsTask();
            try
            {
                await draining.WaitAsync(BatchTimeout, time);
            }
            catch (TimeoutException)
            {
                if (draining.IsCompletedSuccessfully)
                {
                    continue;
                }

                member.Drop($"it did not read {written} bytes within {BatchTimeout.TotalSeconds} s");
                await draining;
            }
        }
    }

    [LoggerMessage(1000, LogLevel.Information, "A chat client was disconnected because it does not read: {Cause}.")]
    private static partial void Dropped(ILogger logger, string cause);
}
