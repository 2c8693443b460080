using System.Diagnostics.CodeAnalysis;

namespace ByteStreams.Groups;

/// <summary>The queue of undelivered messages of one connection. A message's array is shared by all connections. Guarded by the member's lock.</summary>
internal sealed class Backlog
{
    private readonly Queue<byte[]> _messages = new();

    public long Bytes { get; private set; }

    /// <summary>The task that sends the queued messages. It never faults.</summary>
    public Task? Sending { get; set; }

    public void Enqueue(byte[] message)
    {
        _messages.Enqueue(message);
        Bytes += message.Length;
    }

    public bool TryDequeue([NotNullWhen(true)] out byte[]? message)
    {
        if (!_messages.TryDequeue(out message))
        {
            return false;
        }

        Bytes -= message.Length;
        return true;
    }

    public void Clear()
    {
        _messages.Clear();
        Bytes = 0;
    }
}
