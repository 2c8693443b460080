using System.Runtime.InteropServices;
using ByteStreams.Transport.Interop;
using Microsoft.Win32.SafeHandles;

namespace ByteStreams.Transport.Unix;

/// <summary>Identifies the file of a path or descriptor, and whether it is a socket. Symbolic links are not followed.</summary>
internal readonly record struct FileIdentity(ulong Inode, ulong Device, bool IsSocket)
{
    private const uint TypeAndInode = 0x101;
    private const uint GroupOnly = 0x10;

    /// <summary>The file at a path; null where there is none.</summary>
    public static FileIdentity? Get(string path)
    {
        if (OperatingSystem.IsLinux())
        {
            Span<byte> statx = stackalloc byte[LibC.StatxSize];
            return LibC.TryStat(path, TypeAndInode, statx) ? Read(statx) : null;
        }

        // The runtime reports no inode: on other systems a file counts as the bound one if its creation time is the same.
        var file = new FileInfo(path);
        return file.Exists || file.Attributes != (FileAttributes)(-1)
            ? new FileIdentity((ulong)file.CreationTimeUtc.Ticks, 0, file is { Length: 0, LinkTarget: null })
            : null;
    }

    /// <summary>The file of an open descriptor, on Linux.</summary>
    public static FileIdentity? Get(SafeFileHandle file)
    {
        Span<byte> statx = stackalloc byte[LibC.StatxSize];
        return LibC.TryStat(file, TypeAndInode, statx) ? Read(statx) : null;
    }

    /// <summary>The group of the file at a path; null where there is none, or the system has no statx(2).</summary>
    public static uint? GetGroup(string path)
    {
        Span<byte> statx = stackalloc byte[LibC.StatxSize];
        // linux/stat.h: stx_gid at 24.
        return OperatingSystem.IsLinux() && LibC.TryStat(path, GroupOnly, statx) ? MemoryMarshal.Read<uint>(statx[24..]) : null;
    }

    // linux/stat.h: stx_mode at 28, stx_ino at 32, stx_dev_major and stx_dev_minor at 136; S_IFMT and S_IFSOCK of the mode.
    private static FileIdentity Read(ReadOnlySpan<byte> statx) => new(
        MemoryMarshal.Read<ulong>(statx[32..]),
        MemoryMarshal.Read<ulong>(statx[136..]),
        (MemoryMarshal.Read<ushort>(statx[28..]) & 0xF000) == 0xC000);
}
