using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace ByteStreams.Transport.Interop;

/// <content>Files by path, without following a symbolic link.</content>
internal static unsafe partial class LibC
{
    /// <summary>The size of struct statx.</summary>
    public const int StatxSize = 256;

    /// <summary>The id with which chown(2) leaves the owner or the group unchanged.</summary>
    private const uint Unchanged = uint.MaxValue;

    private const int CurrentDirectory = -100;
    private const int EmptyPath = 0x1000;
    private const int SymbolicLinkNoFollow = 0x100;
    private const int OpenPath = 0x200000;

    /// <summary>O_NOFOLLOW, the only flag that differs between x64 and arm64.</summary>
    private static readonly int OpenNoFollow =
        RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm or Architecture.Ppc64le ? 0x8000 : 0x20000;

    /// <summary>Fills <paramref name="statx"/> for the file at a path; false where there is none. Linux only.</summary>
    public static bool TryStat(string path, uint mask, Span<byte> statx) => Statx(CurrentDirectory, path, SymbolicLinkNoFollow, mask, statx) == 0;

    /// <summary>Fills <paramref name="statx"/> for the file of a descriptor. Linux only.</summary>
    public static bool TryStat(SafeFileHandle file, uint mask, Span<byte> statx) =>
        Statx((int)file.DangerousGetHandle(), string.Empty, EmptyPath, mask, statx) == 0;

    /// <summary>A descriptor of the file itself and not of its contents (O_PATH); invalid where there is none. Linux only.</summary>
    public static SafeFileHandle OpenFile(string path) => Open(path, OpenPath | OpenNoFollow | CloseOnExec);

    /// <summary>Sets the group of an open file. Linux only.</summary>
    public static bool TrySetGroup(SafeFileHandle file, uint group) =>
        ChownAt((int)file.DangerousGetHandle(), string.Empty, Unchanged, group, EmptyPath) == 0;

    /// <summary>Sets the group of the file at a path.</summary>
    public static bool TrySetGroup(string path, uint group) => ChownLink(path, Unchanged, group) == 0;

    [LibraryImport(Library, EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags);

    [LibraryImport(Library, EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int directory, string path, int flags, uint mask, Span<byte> result);

    [LibraryImport(Library, EntryPoint = "fchownat", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int ChownAt(int directory, string path, uint owner, uint group, int flags);

    [LibraryImport(Library, EntryPoint = "lchown", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int ChownLink(string path, uint owner, uint group);
}
