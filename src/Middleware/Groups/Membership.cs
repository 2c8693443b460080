namespace ByteStreams.Groups;

/// <summary>A member's place in a group.</summary>
/// <param name="group">The group.</param>
/// <param name="member">The member.</param>
internal sealed class Membership(MemberGroup group, ByteStreamMember member)
{
    public MemberGroup Group => group;

    public ByteStreamMember Member => member;

    /// <summary>The index in the group's list; for the group, under its lock.</summary>
    public int Slot { get; set; }

    /// <summary>The order of joining in the group. It wraps around.</summary>
    public int Number { get; set; }

    /// <summary>The member's next membership; for the member, under its lock.</summary>
    public Membership? Next { get; set; }
}
