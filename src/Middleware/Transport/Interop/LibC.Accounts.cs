using System.Runtime.InteropServices;

namespace ByteStreams.Transport.Interop;

/// <content>The user and group databases.</content>
internal static unsafe partial class LibC
{
    private static readonly Lock AccountsLock = new();

    /// <summary>The id of a user; null where there is none of that name.</summary>
    public static uint? FindUser(string name) => FindId(name, GetUser);

    /// <summary>The id of a group; null where there is none of that name.</summary>
    public static uint? FindGroup(string name) => FindId(name, GetGroup);

    private static uint? FindId(string name, Func<string, nint> get)
    {
        // The next call overwrites the entry. struct passwd and struct group begin alike on every 64-bit Unix: two pointers (name,
        // password), then the id.
        lock (AccountsLock)
        {
            nint entry = get(name);
            return entry == 0 ? null : (uint)Marshal.ReadInt32(entry, 2 * nint.Size);
        }
    }

    [LibraryImport(Library, EntryPoint = "getpwnam", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint GetUser(string name);

    [LibraryImport(Library, EntryPoint = "getgrnam", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint GetGroup(string name);
}
