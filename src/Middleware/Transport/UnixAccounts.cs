using System.Runtime.InteropServices;

namespace ByteStreams.Transport;

/// <summary>Users and groups of the system, by name or number.</summary>
internal static partial class UnixAccounts
{
    private static readonly Lock Gate = new();

    /// <exception cref="IOException">There is no such user.</exception>
    public static uint User(string user) => uint.TryParse(user, out uint number) ? number : Find(user, "user", GetUser);

    /// <exception cref="IOException">There is no such group.</exception>
    public static uint Group(string group) => uint.TryParse(group, out uint number) ? number : Find(group, "group", GetGroup);

    private static uint Find(string name, string what, Func<string, nint> get)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException($"A {what} of a Unix socket needs a Unix system; leave '{name}' out on Windows.");
        }

        // The answer is overwritten by the next call. struct passwd and struct group begin alike on every 64-bit Unix: two pointers
        // (name, password), then the id.
        lock (Gate)
        {
            nint entry = get(name);
            return entry == 0
                ? throw new IOException($"There is no {what} '{name}' on this system.")
                : (uint)Marshal.ReadInt32(entry, 2 * nint.Size);
        }
    }

    [LibraryImport("libc", EntryPoint = "getpwnam", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint GetUser(string name);

    [LibraryImport("libc", EntryPoint = "getgrnam", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint GetGroup(string name);
}
