using System.Text;
using ByteStreams;

namespace StreamsHost.Handlers;

/// <summary>Lines broadcast to everybody who is connected, the sender included. A client that does not read is dropped.</summary>
internal sealed partial class ChatHandler(ChatRoom room, ILogger<ChatHandler> logger) : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        ChatMember member = room.Join();
        using var leaving = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        Task sending = SendAsync(member, writer);
        Task receiving = ReceiveAsync(reader, leaving.Token);
        await Task.WhenAny(sending, receiving, member.Dropped);

        room.Leave(member);
        member.Complete();
        if (member.Dropped.IsCompleted)
        {
            Dropped(logger, member.Capacity);
            // It does not read: what waits for it would wait for ever.
            writer.Abort();
        }

        await leaving.CancelAsync();
        await Task.WhenAll(sending, receiving).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
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

    private static async Task SendAsync(ChatMember member, ByteStreamWriter writer)
    {
        while (await member.Lines.WaitToReadAsync())
        {
            // A queue's worth at once: who fills it as fast as it is emptied would else fill the writer, which nothing bounds but the drain.
            for (int i = 0; i < member.Capacity && member.Lines.TryRead(out byte[]? line); i++)
            {
                writer.Write(line);
            }

            await writer.DrainAsync();
        }
    }

    [LoggerMessage(1000, LogLevel.Information, "A chat client did not read: its queue of {Capacity} lines is full, and it is dropped.")]
    private static partial void Dropped(ILogger logger, int capacity);
}
