namespace ByteStreams.Cluster.Links;

/// <summary>
/// The entries of a batch, each a byte of this kind and its fields. Numbers are little-endian; a length is a variable-length integer of seven bits
/// a byte, the lowest first; names are UTF-8.
/// </summary>
internal enum LinkEntry : byte
{
    /// <summary>A group has a member on the sender: its number, 8 bytes.</summary>
    Interest = 1,

    /// <summary>A group has no member on the sender any more: its number, 8 bytes.</summary>
    Withdrawal = 2,

    /// <summary>The sender has told all of its groups.</summary>
    InterestComplete = 3,

    /// <summary>A message: kind of target, length and name of the target, length and id of the excepted connection, length and bytes.</summary>
    Message = 4,

    /// <summary>A user's older connections end: length and id of the user, length and id of the newer connection, its number, 8 bytes.</summary>
    Replace = 5,
}
