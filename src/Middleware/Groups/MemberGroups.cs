using System.Collections.Concurrent;

namespace ByteStreams.Groups;

/// <summary>Groups by name. A group is there while it has a member.</summary>
/// <param name="kind">What they are: groups or users.</param>
/// <param name="backplane">Tells other hosts of them; null on one host.</param>
internal sealed class MemberGroups(TargetKind kind, ByteStreamBackplane? backplane)
{
    private readonly ConcurrentDictionary<string, MemberGroup> _groups = new(StringComparer.Ordinal);

    public int Count => _groups.Count;

    public MemberGroup? Find(string name) => _groups.GetValueOrDefault(name);

    /// <summary>Adds a member to a group; false if it is in it already, or is no longer registered.</summary>
    public bool Join(string name, ByteStreamMember member)
    {
        while (true)
        {
            MemberGroup group = _groups.GetOrAdd(name, static (added, groups) => new MemberGroup(added, groups), this);
            if (member.TryEnter(group) is bool entered)
            {
                if (!entered)
                {
                    // One that was made for this member alone.
                    group.RemoveIfEmpty();
                }

                return entered;
            }
            // Its last member has just left, and has removed it.
        }
    }

    /// <summary>Removes a member from a group; false if it was not in it.</summary>
    public bool Leave(string name, ByteStreamMember member) => Find(name) is MemberGroup group && member.Exit(group);

    /// <summary>Called by a group that has its first member, under its lock.</summary>
    /// <returns>Completes when the other hosts know the group; null if they know it, or if no caller waits for it, as for a user.</returns>
    public Task? Announce(MemberGroup group) =>
        backplane?.Announce(kind, group.Name) is { IsCompleted: false } announced && kind == TargetKind.Group ? announced : null;

    /// <summary>Called by a group that has lost its last member, under its lock.</summary>
    public void Withdraw(MemberGroup group)
    {
        Remove(group);
        backplane?.Withdraw(kind, group.Name);
    }

    /// <summary>Called by a group that never had a member, under its lock.</summary>
    public void Remove(MemberGroup group) => _groups.TryRemove(KeyValuePair.Create(group.Name, group));

    public IReadOnlyList<GroupSnapshot> Largest(int limit) =>
    [
        .. _groups.Values.Select(group => new GroupSnapshot(group.Name, group.Count))
            .OrderByDescending(group => group.Members).ThenBy(group => group.Name, StringComparer.Ordinal).Take(limit),
    ];
}
