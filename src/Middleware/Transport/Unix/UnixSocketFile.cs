using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Transport.Unix;

/// <summary>
/// The file that a listening Unix socket leaves in the file system: it is replaced only when nobody listens on it, and removed
/// only when it is still the one that was bound (U1, U2, U3).
/// </summary>
internal sealed class UnixSocketFile
{
    private readonly string _path;
    private readonly FileIdentity _bound;

    // As the system has made it; null while the options have never said otherwise.
    private UnixFileMode? _systemMode;
    private uint? _systemGroup;

    private UnixSocketFile(string path, FileIdentity bound)
    {
        _path = path;
        _bound = bound;
    }

    /// <summary>Whether the path still leads to the socket that was bound.</summary>
    public bool IsOwn => FileIdentity.Get(_path) == _bound;

    /// <summary>Binds <paramref name="socket"/>, which does not listen yet, and gives the file its mode and group.</summary>
    /// <returns>The file; null for the abstract namespace, which has none.</returns>
    public static UnixSocketFile? Bind(Socket socket, UnixDomainSocketEndPoint endPoint, ByteStreamListenOptions options)
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

    /// <summary>Gives the file the options' mode and group; where they have none, those that the system gave it.</summary>
    /// <exception cref="IOException">The group is unknown, or permission is denied.</exception>
    /// <exception cref="AddressInUseException">The path leads to another file by now.</exception>
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

        return FileIdentity.Get(Path.GetFullPath(path)) is { IsSocket: false } ? NoSocket(path) : null;
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
            // As it was written: the absolute path may be too long for an address.
            probe.Connect(endPoint);
        }
        catch (SocketException refused) when (refused.SocketErrorCode == SocketError.ConnectionRefused)
        {
            // Nobody listens: a server that was killed has left it behind.
            Delete(full, existing.Value, path);
            return;
        }
        catch (SocketException) when (FileIdentity.Get(full) is null)
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

    private static void Delete(string full, FileIdentity stale, string path)
    {
        try
        {
            // Not what has come in its place since it was probed.
            if (FileIdentity.Get(full) == stale)
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

    /// <summary>A Unix socket's address under a type that the runtime knows nothing about.</summary>
    private sealed class RawUnixEndPoint(UnixDomainSocketEndPoint address) : EndPoint
    {
        public override AddressFamily AddressFamily => AddressFamily.Unix;

        public override SocketAddress Serialize() => address.Serialize();

        public override EndPoint Create(SocketAddress socketAddress) => this;

        public override string ToString() => address.ToString();
    }
}
