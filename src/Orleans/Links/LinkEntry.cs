namespace ByteStreams.Cluster.Links;

/// <summary>
/// The type byte of a batch entry, which its fields follow. Integers are little-endian. A length is a LEB128 variable-length integer. Names are
/// UTF-8.
/// </summary>
internal enum LinkEntry : byte
{
    /// <summary>The sender has a member of a group: the group's hash, 8 bytes.</summary>
    Interest = 1,

    /// <summary>The sender has no more members of a group: the group's hash, 8 bytes.</summary>
    Withdrawal = 2,

    /// <summary>The sender has announced all of its groups. No fields.</summary>
    InterestComplete = 3,

    /// <summary>A message: target type, 1 byte; then, each with its length, the target's name, the id of the excluded connection, and the bytes.</summary>
    Message = 4,

    /// <summary>Closes a user's older connections: the user's id and the newer connection's id, each with its length; its number, 8 bytes.</summary>
    Replace = 5,
}
