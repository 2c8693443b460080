using System.Globalization;

namespace ByteStreams.Transport.Sockets;

/// <summary>The TCP ports that this process listens on itself, for the error message about a port in use. Linux only.</summary>
internal static class OwnPorts
{
    /// <summary>TCP_LISTEN, as /proc/net/tcp writes it.</summary>
    private const string Listening = "0A";

    /// <summary>Whether this process listens on the port, on any address; false on systems without /proc.</summary>
    public static bool Contains(int port)
    {
        if (!OperatingSystem.IsLinux())
        {
            return false;
        }

        try
        {
            string[] sockets = [.. Directory.EnumerateFiles("/proc/self/fd").Select(file => new FileInfo(file).LinkTarget).OfType<string>()];
            return ((string[])["tcp", "tcp6"])
                .Select(family => $"/proc/self/net/{family}").Where(File.Exists)
                .SelectMany(file => File.ReadLines(file).Skip(1))
                .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
                // proc_net_tcp: local address, remote address and state from field 1 on, the inode in field 9.
                .Any(fields => fields[3] == Listening
                    && int.Parse(fields[1].AsSpan(fields[1].LastIndexOf(':') + 1), NumberStyles.HexNumber, CultureInfo.InvariantCulture) == port
                    && sockets.Contains($"socket:[{fields[9]}]"));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // /proc is missing or not accessible.
            return false;
        }
    }
}
