using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;

namespace StreamsHost.Handlers;

/// <summary>A client of the chat, and its queued lines.</summary>
internal sealed class ChatMember(int capacity)
{
    /// <summary>The limit of queued bytes. All members share the array of a line, so that this bounds the memory of the room.</summary>
    public const int MostBytes = 1 << 20;

    // In the mode Wait, TryWrite on a full queue returns false, which detects a slow member.
    private readonly Channel<byte[]> _queue = Channel.CreateBounded<byte[]>(
        new BoundedChannelOptions(capacity) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private readonly TaskCompletionSource<string> _dropped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _bytes;
    private volatile bool _isComplete;

    /// <summary>Completes with the cause when the member is dropped.</summary>
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
            // A broadcast that began before the member left.
            return false;
        }

        Drop($"more than {capacity} lines or {MostBytes} bytes are queued for it");
        return false;
    }

    /// <summary>Waits for lines; false after the last one.</summary>
    public ValueTask<bool> WaitAsync() => _queue.Reader.WaitToReadAsync();

    /// <summary>Dequeues the next line if it fits the given number of bytes.</summary>
    public bool TryTake(long most, [NotNullWhen(true)] out byte[]? line)
    {
        if (!_queue.Reader.TryPeek(out line) || line.Length > most || !_queue.Reader.TryRead(out line))
        {
            return false;
        }

        Interlocked.Add(ref _bytes, -line.Length);
        return true;
    }

    /// <summary>Completes the queue: no more lines follow.</summary>
    public void Complete()
    {
        _isComplete = true;
        _queue.Writer.TryComplete();
    }

    /// <summary>Drops the member; the first cause is kept.</summary>
    public void Drop(string cause)
    {
        Complete();
        _dropped.TrySetResult(cause);
    }
}
