using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;

namespace StreamsHost.Handlers;

/// <summary>One client of the chat, and the lines that wait for it.</summary>
internal sealed class ChatMember(int capacity)
{
    /// <summary>The most bytes that wait. A line is one array for all members, so that this bounds what the room keeps, and not each member.</summary>
    public const int MostBytes = 1 << 20;

    // In the mode Wait a write to a full queue answers false, which is how a slow member is found out.
    private readonly Channel<byte[]> _queue = Channel.CreateBounded<byte[]>(
        new BoundedChannelOptions(capacity) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private readonly TaskCompletionSource<string> _dropped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _bytes;
    private volatile bool _isComplete;

    /// <summary>Done when the member was dropped, with the cause.</summary>
    public Task<string> Dropped => _dropped.Task;

    /// <summary>Queues a line; false if the member leaves, or there is no free space and it is dropped.</summary>
    public bool TryQueue(byte[] line)
    {
        if (Interlocked.Add(ref _bytes, line.Length) <= MostBytes && _queue.Writer.TryWrite(line))
        {
            return true;
        }

        if (_isComplete)
        {
            // A broadcast that began before it left: no line is missed that it was to get.
            return false;
        }

        Drop($"more than {capacity} lines or {MostBytes} bytes wait for it");
        return false;
    }

    /// <summary>Waits for lines; false where no more follow.</summary>
    public ValueTask<bool> WaitAsync() => _queue.Reader.WaitToReadAsync();

    /// <summary>Takes the next line if it has no more than so many bytes.</summary>
    public bool TryTake(long most, [NotNullWhen(true)] out byte[]? line)
    {
        if (!_queue.Reader.TryPeek(out line) || line.Length > most || !_queue.Reader.TryRead(out line))
        {
            return false;
        }

        Interlocked.Add(ref _bytes, -line.Length);
        return true;
    }

    /// <summary>No more lines follow those that are queued.</summary>
    public void Complete()
    {
        _isComplete = true;
        _queue.Writer.TryComplete();
    }

    /// <summary>Ends the membership; the first cause stays.</summary>
    public void Drop(string cause)
    {
        Complete();
        _dropped.TrySetResult(cause);
    }
}
