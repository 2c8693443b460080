using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Transport.Unix;

/// <summary>
/// The file of a listening Unix socket. An existing file is replaced only if no server listens on it, and the file is removed only if it is
/// still the bound one (U1, U2, U3).
/// </summary>
internal sealed class UnixSocketFile
{
    private readonly string _path;
    private readonly FileIdentity _bound;

    // The system's values; null until an option overrides them.
    private UnixFileMode? _systemMode;
    private uint? _systemGroup;

    private UnixSocketFile(string path, FileIdentity bound)
    {
        _path = path;
        _bound = bound;
    }

    /// <summary>Whether the path still names the bound socket.</summary>
    public bool IsOwn => FileIdentity.Get(_path) == _bound;

    /// <summary>Binds <paramref name="socket"/>, which is not listening yet, and sets the file's mode and group.</summary>
    /// <returns>The file; null in the abstract namespace, which has no files.</returns>
    public static UnixSocketFile? Bind(Socket socket, UnixDomainSocketEndPoint endPoint, ByteStreamListenOptions options)
    {
        string path = UnixSocketPath.ToPath(endPoint);
        if (path.StartsWith('@'))
        {
            BindOrExplain(socket, endPoint, path);
            return null;
        }

        // Absolute, so that it names the same file after a change of the working directory.
        string full = Path.GetFullPath(path);
        RemoveIfStale(endPoint, full, path);
        BindOrExplain(socket, endPoint, path);
        var file = new UnixSocketFile(full, FileIdentity.Get(full) is { IsSocket: true } bound ? bound : throw Taken(path));
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

    /// <summary>Sets the file's mode and group to the options', or back to the system's if an option is null.</summary>
    /// <exception cref="IOException">The group is unknown, or permission is denied.</exception>
    /// <exception cref="AddressInUseException">The path names another file by now.</exception>
    public void Change(ByteStreamListenOptions options)
    {
        UnixFileMode? mode = options.UnixSocketMode ?? _systemMode;
        string? group = options.UnixSocketGroup ?? _systemGroup?.ToString(CultureInfo.InvariantCulture);
        if (mode is not null)
        {
            _systemMode ??= OperatingSystem.IsWindows() ? null : File.GetUnixFileMode(_path);
        }

        if (group is not null)
        {
            _systemGroup ??= FileIdentity.GetGroup(_path);
        }

        if (!UnixSocketPermissions.TrySet(_path, _bound, mode, group))
        {
            throw Taken(_path);
        }
    }

    /// <summary>The error that a bind would fail with, as far as it is visible without one; null without an error.</summary>
    public static string? FindBindError(UnixDomainSocketEndPoint endPoint)
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

        return FileIdentity.Get(Path.GetFullPath(path)) is { IsSocket: false } ? NoSocket(path) : null;
    }

    /// <summary>
    /// Throws if another server has replaced the file: until it listens, a bound socket cannot be distinguished from a stale one, and no client
    /// would reach this server.
    /// </summary>
    public void EnsureOwn()
    {
        if (!IsOwn)
        {
            throw Taken(_path);
        }
    }

    /// <summary>Removes the file if it is still the bound one. A failure is logged and does not fail the close.</summary>
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
        FileIdentity? existing = FileIdentity.Get(full);
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
            // With the path as configured: the absolute path may be too long for an address.
            probe.Connect(endPoint);
        }
        catch (SocketException refused) when (refused.SocketErrorCode == SocketError.ConnectionRefused)
        {
            // No server listens: the file is left from a server that was killed.
            Delete(full, existing.Value, path);
            return;
        }
        catch (SocketException) when (FileIdentity.Get(full) is null)
        {
            // Its server has stopped meanwhile and removed the file.
            return;
        }
        catch (SocketException busy) when (busy.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
        {
            // A server listens, and its backlog is full.
        }
        catch (SocketException denied) when (denied.SocketErrorCode == SocketError.AccessDenied)
        {
            throw new IOException($"The Unix socket '{path}' cannot be bound: permission to the existing socket is denied. Run as its owner, or use another path.", denied);
        }
        catch (SocketException other)
        {
            throw new AddressInUseException(
                $"The Unix socket '{path}' cannot be bound: it exists, and the check whether a server uses it failed ({other.Message}). Use another path.", other);
        }

        throw new AddressInUseException($"The Unix socket '{path}' is already in use: a server listens on it. Stop it, or use another path.");
    }

    private static void Delete(string full, FileIdentity stale, string path)
    {
        try
        {
            // Only the probed file, and not one that has replaced it since.
            if (FileIdentity.Get(full) == stale)
            {
                File.Delete(full);
            }
        }
        catch (UnauthorizedAccessException denied)
        {
            throw new IOException(
                $"The Unix socket '{path}' cannot be bound: permission to remove the stale file is denied. Remove it, or use another path.", denied);
        }
    }

    private static void BindOrExplain(Socket socket, UnixDomainSocketEndPoint endPoint, string path)
    {
        try
        {
            // The runtime deletes the file of a UnixDomainSocketEndPoint by its path; it leaves that of another type to this class.
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
                // Checked last: the existence of a directory without search permission is unknown.
                _ when MissingDirectory(path) is string directory => new IOException(NoDirectory(path, directory), error),
                _ => new IOException($"The Unix socket '{path}' cannot be bound: {error.Message}.", error),
            };
        }
    }

    private static string NoSocket(string path) =>
        $"The Unix socket '{path}' cannot be bound: the path names a file that is not a socket, which is not removed. Use another path.";

    private static string NoDirectory(string path, string directory) =>
        $"The Unix socket '{path}' cannot be bound: there is no directory '{directory}'. Create it, or use another path.";

    private static string? MissingDirectory(string path) =>
        path[0] != '@' && Path.GetDirectoryName(Path.GetFullPath(path)) is string directory && !Directory.Exists(directory) ? directory : null;

    /// <summary>A Unix socket's address as a type that the runtime does not know.</summary>
    private sealed class RawUnixEndPoint(UnixDomainSocketEndPoint address) : EndPoint
    {
        public override AddressFamily AddressFamily => AddressFamily.Unix;

        public override SocketAddress Serialize() => address.Serialize();

        public override EndPoint Create(SocketAddress socketAddress) => this;

        public override string ToString() => address.ToString();
    }
}
