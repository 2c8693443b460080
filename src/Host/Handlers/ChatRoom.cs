using System.Collections.Concurrent;

namespace StreamsHost.Handlers;

/// <summary>The members of the chat; one room per process.</summary>
/// <param name="capacity">The lines that may wait for one member before it is dropped; at least 1.</param>
internal sealed class ChatRoom(int capacity = ChatRoom.DefaultCapacity)
{
    /// <summary>The limit of queued lines: a few screens of text, which a member that reads never reaches. <see cref="ChatMember.MostBytes"/> bounds long lines.</summary>
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

    /// <summary>Queues a line for every member. It never waits: a member whose queue is full is dropped.</summary>
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
