using System.IO.Hashing;
using System.Runtime.InteropServices;
using ByteStreams.Groups;

namespace ByteStreams.Cluster.Links;

/// <summary>
/// The number by which hosts tell each other of groups. Two groups with one number cost messages that a host has no use for; who gets a message is
/// decided by the name.
/// </summary>
internal static class GroupHash
{
    public static ulong Of(TargetKind kind, string name) => XxHash3.HashToUInt64(MemoryMarshal.AsBytes(name.AsSpan()), (long)kind);
}
