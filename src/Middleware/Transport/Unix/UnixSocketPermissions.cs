using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using ByteStreams.Transport.Interop;
using Microsoft.Win32.SafeHandles;

namespace ByteStreams.Transport.Unix;

/// <summary>
/// Sets the mode and the group of a Unix socket's file, and of no other file: a user who may write to the directory could replace it by a
/// symbolic link, which chmod(2) and chown(2) follow.
/// </summary>
internal static class UnixSocketPermissions
{
    /// <summary>Sets the mode and the group that are given.</summary>
    /// <param name="path">The file.</param>
    /// <param name="bound">The file that was bound.</param>
    /// <param name="mode">Null leaves the mode.</param>
    /// <param name="group">A name or number; null leaves the group.</param>
    /// <returns>False if the path names another file than the bound one; that file is not changed.</returns>
    /// <exception cref="IOException">The system denies the change.</exception>
    public static bool TrySet(string path, FileIdentity bound, UnixFileMode? mode, string? group)
    {
        if (mode is null && group is null)
        {
            return true;
        }

        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException("UnixSocketMode and UnixSocketGroup need a Unix system; leave them out on Windows.");
        }

        uint? id = group is null ? null : UnixAccounts.GetGroupId(group);
        if (!OperatingSystem.IsLinux())
        {
            return TrySetByPath(path, bound, mode, group, id);
        }

        // A descriptor of the file itself, so that the checked file is the changed one. fchmod(2) rejects such a descriptor, and
        // fchmodat2(2) needs Linux 6.6; chmod(2) follows the descriptor's entry in /proc to this file only.
        using SafeFileHandle file = LibC.OpenFile(path);
        if (file.IsInvalid || FileIdentity.Get(file) != bound)
        {
            return false;
        }

        SetMode(path, $"/proc/self/fd/{file.DangerousGetHandle()}", mode);
        if (id is not null && !LibC.TrySetGroup(file, id.Value))
        {
            throw Refused(path, group);
        }

        return true;
    }

    /// <summary>For systems without O_PATH, such as macOS: chmod follows a symbolic link that appears after the check.</summary>
    [UnsupportedOSPlatform("windows")]
    private static bool TrySetByPath(string path, FileIdentity bound, UnixFileMode? mode, string? group, uint? id)
    {
        if (FileIdentity.Get(path) != bound)
        {
            return false;
        }

        SetMode(path, path, mode);
        if (id is not null && !LibC.TrySetGroup(path, id.Value))
        {
            throw Refused(path, group);
        }

        return true;
    }

    [UnsupportedOSPlatform("windows")]
    private static void SetMode(string path, string file, UnixFileMode? mode)
    {
        if (mode is null)
        {
            return;
        }

        try
        {
            File.SetUnixFileMode(file, mode.Value);
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"The mode of the Unix socket '{path}' cannot be set: {refused.Message} The user must own it, and /proc be mounted.", refused);
        }
    }

    private static IOException Refused(string path, string? group) => new(
        $"The group of the Unix socket '{path}' cannot be set to '{group}': {Marshal.GetLastPInvokeErrorMessage()}. The user must be root or a member of it.");
}
