namespace ByteStreams.Groups;

/// <summary>The membership of one connection in one group.</summary>
/// <param name="group">The group.</param>
/// <param name="member">The member.</param>
internal sealed class Membership(MemberGroup group, ByteStreamMember member)
{
    public MemberGroup Group => group;

    public ByteStreamMember Member => member;

    /// <summary>The index in the group's list. Guarded by the group's lock.</summary>
    public int Slot { get; set; }

    /// <summary>The order of joining in the group. The number wraps.</summary>
    public int Number { get; set; }

    /// <summary>The member's next membership. Guarded by the member's lock.</summary>
    public Membership? Next { get; set; }
}
