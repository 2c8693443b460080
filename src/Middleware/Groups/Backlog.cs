using System.Diagnostics.CodeAnalysis;

namespace ByteStreams.Groups;

/// <summary>The messages that wait for one connection, each an array that others share. For the member, under its lock.</summary>
internal sealed class Backlog
{
    private readonly Queue<byte[]> _messages = new();

    public long Bytes { get; private set; }

    /// <summary>What sends them. It does not fail.</summary>
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
