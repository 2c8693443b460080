using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Unix;

/// <summary>The ids of the system's users and groups, by name or number.</summary>
internal static class UnixAccounts
{
    /// <exception cref="IOException">There is no such user.</exception>
    public static uint GetUserId(string user) => uint.TryParse(user, out uint number) ? number : Find(user, "user", LibC.FindUser);

    /// <exception cref="IOException">There is no such group.</exception>
    public static uint GetGroupId(string group) => uint.TryParse(group, out uint number) ? number : Find(group, "group", LibC.FindGroup);

    private static uint Find(string name, string what, Func<string, uint?> find)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException($"A {what} of a Unix socket needs a Unix system; leave '{name}' out on Windows.");
        }

        return find(name) ?? throw new IOException($"There is no {what} '{name}' on this system.");
    }
}
