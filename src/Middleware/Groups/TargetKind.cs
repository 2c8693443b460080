namespace ByteStreams.Groups;

/// <summary>The type of a target.</summary>
internal enum TargetKind
{
    All,
    Connection,
    Group,
    User,
}
