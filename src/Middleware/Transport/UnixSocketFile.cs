using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Transport;

/// <summary>
/// The file that a listening Unix socket leaves in the file system: it is replaced only when nobody listens on it, and removed
/// only when it is still the one that was bound (U1, U2, U3).
/// </summary>
internal sealed partial class UnixSocketFile
{
    private readonly string _path;
    private readonly FileId _bound;

    // As the system has made it; null while the options have never said otherwise.
    private UnixFileMode? _systemMode;
    private uint? _systemGroup;

    private UnixSocketFile(string path, FileId bound)
    {
        _path = path;
        _bound = bound;
    }

    /// <summary>Whether the path still leads to the socket that was bound.</summary>
    public bool IsOwn => Identify(_path) == _bound;

    /// <summary>Binds <paramref name="socket"/>, which does not listen yet, and gives the file its mode and group.</summary>
    /// <returns>The file; null for the abstract namespace, which has none.</returns>
    public static UnixSocketFile? Bind(Socket socket, UnixDomainSocketEndPoint endPoint, ByteStreamServerOptions options)
    {
        string path = UnixSocketPath.ToPath(endPoint);
        if (path.StartsWith('@'))
        {
            BindOrExplain(socket, endPoint, path);
            return null;
        }

        // Absolute, so that a later change of the working directory does not make another file of it.
        string full = Path.GetFullPath(path);
        RemoveIfStale(endPoint, full, path);
        BindOrExplain(socket, endPoint, path);
        var file = new UnixSocketFile(full, Identify(full) ?? throw Taken(path));
        try
        {
            file.Change(options);
            return file;
        }
        catch
        {
            file.Remove(NullLogger.Instance);
            throw;
        }
    }

    /// <summary>Gives the file the options' mode and group; where they have none, those that the system gave it.</summary>
    /// <exception cref="IOException">The group is unknown, or permission is denied.</exception>
    public void Change(ByteStreamServerOptions options)
    {
        if ((options.UnixSocketMode ?? _systemMode) is UnixFileMode mode)
        {
            _systemMode ??= OperatingSystem.IsWindows() ? null : File.GetUnixFileMode(_path);
            SetMode(_path, mode);
        }

        if ((options.UnixSocketGroup ?? _systemGroup?.ToString(CultureInfo.InvariantCulture)) is string group)
        {
            _systemGroup ??= GetGroup(_path);
            SetGroup(_path, group);
        }
    }

    /// <summary>What a bind would find wrong, as far as it can be seen without one; null where nothing is.</summary>
    public static string? Mistake(UnixDomainSocketEndPoint endPoint)
    {
        string path = UnixSocketPath.ToPath(endPoint);
        if (path.StartsWith('@'))
        {
            return null;
        }

        if (MissingDirectory(path) is string directory)
        {
            return NoDirectory(path, directory);
        }

        return Identify(Path.GetFullPath(path)) is { IsSocket: false } ? NoSocket(path) : null;
    }

    /// <summary>
    /// Until it listens, a socket looks as dead as one that was left behind, and another server that starts at this moment may
    /// have replaced it: nobody would ever reach this one.
    /// </summary>
    public void EnsureOwn()
    {
        if (!IsOwn)
        {
            throw Taken(_path);
        }
    }

    /// <summary>Removes the file if it is still the one that was bound. A file that cannot be removed does not hold up the close.</summary>
    public void Remove(ILogger logger)
    {
        try
        {
            if (IsOwn)
            {
                File.Delete(_path);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            TransportLog.FileNotRemoved(logger, _path, error.Message);
        }
    }

    private static AddressInUseException Taken(string path) =>
        new($"The Unix socket '{path}' is already in use: another server took the path while this one started. Stop one of them, or use another path.");

    private static void RemoveIfStale(UnixDomainSocketEndPoint endPoint, string full, string path)
    {
        FileId? existing = Identify(full);
        if (existing is null)
        {
            return;
        }

        if (!existing.Value.IsSocket)
        {
            throw new AddressInUseException(NoSocket(path));
        }

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { Blocking = false };
        try
        {
            // As it was written: the absolute path may be too long for an address.
            probe.Connect(endPoint);
        }
        catch (SocketException refused) when (refused.SocketErrorCode == SocketError.ConnectionRefused)
        {
            // Nobody listens: a server that was killed has left it behind.
            Delete(full, existing.Value, path);
            return;
        }
        catch (SocketException) when (Identify(full) is null)
        {
            // Its server has ended at this moment, and taken its file along.
            return;
        }
        catch (SocketException busy) when (busy.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
        {
            // Somebody listens and is so busy that its backlog is full.
        }
        catch (SocketException denied) when (denied.SocketErrorCode == SocketError.AccessDenied)
        {
            throw new IOException($"The Unix socket '{path}' cannot be bound: permission to the existing socket is denied. Run as its owner, or use another path.", denied);
        }
        catch (SocketException other)
        {
            throw new AddressInUseException(
                $"The Unix socket '{path}' cannot be bound: it exists, and whether a server uses it cannot be told ({other.Message}). Use another path.", other);
        }

        throw new AddressInUseException($"The Unix socket '{path}' is already in use: a server listens on it. Stop it, or use another path.");
    }

    private static void Delete(string full, FileId stale, string path)
    {
        try
        {
            // Not what has come in its place since it was probed.
            if (Identify(full) == stale)
            {
                File.Delete(full);
            }
        }
        catch (UnauthorizedAccessException denied)
        {
            throw new IOException(
                $"The Unix socket '{path}' cannot be bound: permission to remove the file that a dead server left there is denied. Remove it, or use another path.", denied);
        }
    }

    private static void BindOrExplain(Socket socket, UnixDomainSocketEndPoint endPoint, string path)
    {
        try
        {
            // The runtime deletes by path what it bound as a UnixDomainSocketEndPoint; under another type it leaves the file to us.
            socket.Bind(new RawUnixEndPoint(endPoint));
        }
        catch (SocketException error)
        {
            throw error.SocketErrorCode switch
            {
                SocketError.AddressAlreadyInUse => new AddressInUseException(
                    $"The Unix socket '{path}' is already in use: a server listens on it. Stop it, or use another path.", error),
                SocketError.AccessDenied => new IOException(
                    $"The Unix socket '{path}' cannot be bound: permission is denied. Allow this user to write to its directory, or use another path.", error),
                // Asked only now: of a directory that may not be searched, nobody could have told whether it exists.
                _ when MissingDirectory(path) is string directory => new IOException(NoDirectory(path, directory), error),
                _ => new IOException($"The Unix socket '{path}' cannot be bound: {error.Message}.", error),
            };
        }
    }

    private static string NoSocket(string path) =>
        $"The Unix socket '{path}' cannot be bound: the path is taken by a file that is no socket, which is not removed. Use another path.";

    private static string NoDirectory(string path, string directory) =>
        $"The Unix socket '{path}' cannot be bound: there is no directory '{directory}'. Create it, or use another path.";

    private static string? MissingDirectory(string path) =>
        path[0] != '@' && Path.GetDirectoryName(Path.GetFullPath(path)) is string directory && !Directory.Exists(directory) ? directory : null;

    private static void SetMode(string path, UnixFileMode? mode)
    {
        if (mode is null)
        {
            return;
        }

        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException("UnixSocketMode needs a Unix system; leave it out on Windows.");
        }

        File.SetUnixFileMode(path, mode.Value);
    }

    private static void SetGroup(string path, string? group)
    {
        if (group is null)
        {
            return;
        }

        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException("UnixSocketGroup needs a Unix system; leave it out on Windows.");
        }

        if (Native.Chown(path, uint.MaxValue, UnixAccounts.Group(group)) != 0)
        {
            throw new IOException(
                $"The group of the Unix socket '{path}' cannot be set to '{group}': {Marshal.GetLastPInvokeErrorMessage()}. The user must be root or a member of it.");
        }
    }

    /// <summary>The file's group; null where the system has no statx.</summary>
    private static uint? GetGroup(string path)
    {
        Span<byte> statx = stackalloc byte[256];
        // linux/stat.h: stx_gid at 24.
        return OperatingSystem.IsLinux() && Native.Statx(Native.CurrentDirectory, path, Native.NoFollow, Native.Group, statx) == 0
            ? MemoryMarshal.Read<uint>(statx[24..])
            : null;
    }

    private static FileId? Identify(string path)
    {
        if (OperatingSystem.IsLinux())
        {
            Span<byte> statx = stackalloc byte[256];
            return Native.Statx(Native.CurrentDirectory, path, Native.NoFollow, Native.TypeAndInode, statx) == 0
                ? new FileId(
                    // linux/stat.h: stx_mode at 28, stx_ino at 32, stx_dev_major and stx_dev_minor at 136.
                    MemoryMarshal.Read<ulong>(statx[32..]),
                    MemoryMarshal.Read<ulong>(statx[136..]),
                    (MemoryMarshal.Read<ushort>(statx[28..]) & 0xF000) == 0xC000)
                : null;
        }

        // Elsewhere the runtime tells no inode: a file counts as the one that was bound if it was made at the same moment.
        var file = new FileInfo(path);
        return file.Exists || file.Attributes != (FileAttributes)(-1)
            ? new FileId((ulong)file.CreationTimeUtc.Ticks, 0, file.Length == 0)
            : null;
    }

    private readonly record struct FileId(ulong Inode, ulong Device, bool IsSocket);

    /// <summary>A Unix socket's address under a type that the runtime knows nothing about.</summary>
    private sealed class RawUnixEndPoint(UnixDomainSocketEndPoint address) : EndPoint
    {
        public override AddressFamily AddressFamily => AddressFamily.Unix;

        public override SocketAddress Serialize() => address.Serialize();

        public override EndPoint Create(SocketAddress socketAddress) => this;

        public override string ToString() => address.ToString();
    }

    private static partial class Native
    {
        public const int CurrentDirectory = -100;
        public const int NoFollow = 0x100;
        public const uint TypeAndInode = 0x101;
        public const uint Group = 0x10;

        [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
        public static partial int Statx(int directory, string path, int flags, uint mask, Span<byte> result);

        [LibraryImport("libc", EntryPoint = "chown", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
        public static partial int Chown(string path, uint owner, uint group);
    }
}
