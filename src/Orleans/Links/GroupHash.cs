using System.IO.Hashing;
using System.Runtime.InteropServices;
using ByteStreams.Groups;

namespace ByteStreams.Cluster.Links;

/// <summary>
/// The hash by which hosts announce groups. A collision sends a host messages that it has no receiver for; delivery itself is decided by the name.
/// </summary>
internal static class GroupHash
{
    public static ulong Compute(TargetKind kind, string name) => XxHash3.HashToUInt64(MemoryMarshal.AsBytes(name.AsSpan()), (long)kind);
}
