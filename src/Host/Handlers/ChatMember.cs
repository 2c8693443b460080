using System.Threading.Channels;

namespace StreamsHost.Handlers;

/// <summary>One client of the chat, and the lines that wait for it.</summary>
internal sealed class ChatMember(int capacity)
{
    // In the mode Wait a write to a full queue answers false, which is how a slow member is found out.
    private readonly Channel<byte[]> _queue = Channel.CreateBounded<byte[]>(
        new BoundedChannelOptions(capacity) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private readonly TaskCompletionSource _dropped = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public int Capacity => capacity;

    /// <summary>Done when the member was dropped because its queue was full.</summary>
    public Task Dropped => _dropped.Task;

    public ChannelReader<byte[]> Lines => _queue.Reader;

    /// <summary>Queues a line; false if there is no room, and the member is dropped.</summary>
    public bool TryQueue(byte[] line)
    {
        if (_queue.Writer.TryWrite(line))
        {
            return true;
        }

        Complete();
        _dropped.TrySetResult();
        return false;
    }

    /// <summary>No more lines follow those that are queued.</summary>
    public void Complete() => _queue.Writer.TryComplete();
}
