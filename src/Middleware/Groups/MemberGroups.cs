using System.Collections.Concurrent;

namespace ByteStreams.Groups;

/// <summary>The groups by name. A group exists while it has a member.</summary>
/// <param name="kind">The type of the entries: groups or users.</param>
/// <param name="backplane">Announces them to other hosts; null without a cluster.</param>
internal sealed class MemberGroups(TargetKind kind, ByteStreamBackplane? backplane)
{
    private readonly ConcurrentDictionary<string, MemberGroup> _groups = new(StringComparer.Ordinal);

    public int Count => _groups.Count;

    public MemberGroup? Find(string name) => _groups.GetValueOrDefault(name);

    /// <summary>Adds a member to a group. Returns false if it is already in the group or no longer registered.</summary>
    public bool Join(string name, ByteStreamMember member)
    {
        while (true)
        {
            MemberGroup group = _groups.GetOrAdd(name, static (added, groups) => new MemberGroup(added, groups), this);
            if (member.TryEnter(group) is bool entered)
            {
                if (!entered)
                {
                    // The group may have been created by this call.
                    group.RemoveIfEmpty();
                }

                return entered;
            }
            // A concurrent leave has closed the group. Retry with a new one.
        }
    }

    /// <summary>Removes a member from a group. Returns false if it is not in the group.</summary>
    public bool Leave(string name, ByteStreamMember member) => Find(name) is MemberGroup group && member.Exit(group);

    /// <summary>Called by a group after its first member has joined, under the group's lock.</summary>
    /// <returns>Completes when the other hosts know the group; null if they know it already, or for a user, because no caller waits for it.</returns>
    public Task? Announce(MemberGroup group) =>
        backplane?.Announce(kind, group.Name) is { IsCompleted: false } announced && kind == TargetKind.Group ? announced : null;

    /// <summary>Called by a group after its last member has left, under the group's lock.</summary>
    public void Withdraw(MemberGroup group)
    {
        Remove(group);
        backplane?.Withdraw(kind, group.Name);
    }

    /// <summary>Called by a group that never had a member, under the group's lock.</summary>
    public void Remove(MemberGroup group) => _groups.TryRemove(KeyValuePair.Create(group.Name, group));

    public IReadOnlyList<GroupSnapshot> Largest(int limit) =>
    [
        .. _groups.Values.Select(group => new GroupSnapshot(group.Name, group.Count))
            .OrderByDescending(group => group.Members).ThenBy(group => group.Name, StringComparer.Ordinal).Take(limit),
    ];
}
