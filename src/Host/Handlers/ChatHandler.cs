using System.Text;
using ByteStreams;

namespace StreamsHost.Handlers;

/// <summary>
/// Lines broadcast to every client that is connected, the sender included. A client that does not read, or reads too slowly, is dropped: no
/// client waits for another, and none misses a line without being disconnected.
/// </summary>
internal sealed partial class ChatHandler(ChatRoom room, TimeProvider time, ILogger<ChatHandler> logger) : ByteStreamHandler
{
    /// <summary>What is written before a drain, or one line that is longer: the memory of a client that stalls.</summary>
    private const int BatchBytes = 65536;

    /// <summary>
    /// The time for one batch to leave. Its last byte counts and not any byte, because a client that takes a byte a minute would otherwise
    /// hold its buffers for ever.
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
        // Its last lines are bounded by the same time: it may have left without reading any more.
        Task ending = Task.WhenAll(sending, receiving);
        await Task.WhenAny(ending, member.Dropped);
        if (member.Dropped.IsCompleted)
        {
            Dropped(logger, await member.Dropped);
            // It does not read: what waits for it would wait for ever.
            writer.Abort();
        }

        await ending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!member.Dropped.IsCompleted)
        {
            // What was queued has been sent, or the connection is lost, and this says so.
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
        // A drain waits until the kernel has taken everything, so that its time is that of the whole batch.
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

                member.Drop($"it has not taken {written} bytes within {BatchTimeout.TotalSeconds} s");
                await draining;
            }
        }
    }

    [LoggerMessage(1000, LogLevel.Information, "A chat client does not read and is dropped: {Cause}.")]
    private static partial void Dropped(ILogger logger, string cause);
}
