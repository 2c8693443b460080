using System.Collections.Concurrent;

namespace StreamsHost.Handlers;

/// <summary>Who is connected to the chat. One for the process.</summary>
/// <param name="capacity">The lines that may wait for one member before it is dropped; at least 1.</param>
internal sealed class ChatRoom(int capacity = ChatRoom.DefaultCapacity)
{
    /// <summary>A few screens of text: a member that reads has fewer waiting. <see cref="ChatMember.MostBytes"/> bounds long lines.</summary>
    public const int DefaultCapacity = 256;

    private readonly ConcurrentDictionary<ChatMember, bool> _members = new();

    public int Count => _members.Count;

    public ChatMember Join()
    {
        var member = new ChatMember(capacity);
        _members.TryAdd(member, true);
        return member;
    }

    public void Leave(ChatMember member) => _members.TryRemove(member, out _);

    /// <summary>Queues a line for every member. It never waits: who has no room left is dropped.</summary>
    public void Broadcast(byte[] line)
    {
        foreach (ChatMember member in _members.Keys)
        {
            if (!member.TryQueue(line))
            {
                Leave(member);
            }
        }
    }
}
