namespace ByteStreams.Groups;

/// <summary>What the name of a target means.</summary>
internal enum TargetKind
{
    All,
    Connection,
    Group,
    User,
}
