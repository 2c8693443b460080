using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Sockets;

/// <summary>
/// Named sockets that were open when the program started: systemd's socket activation (sd_listen_fds(3)). They stay open as long as the
/// process, so that clients wait in the backlog while no listener accepts.
/// </summary>
/// <param name="processId">LISTEN_PID: the process that they are for.</param>
/// <param name="count">LISTEN_FDS: their number, from descriptor 3 on.</param>
/// <param name="names">LISTEN_FDNAMES: their names, separated by colons.</param>
internal sealed class InheritedSockets(string? processId, string? count, string? names)
{
    /// <summary>The first descriptor after standard error (SD_LISTEN_FDS_START).</summary>
    private const int First = 3;

    /// <summary>systemd's name for a socket without one.</summary>
    private const string Unnamed = "unknown";

    public static InheritedSockets OfThisProcess { get; } = new(
        Environment.GetEnvironmentVariable("LISTEN_PID"), Environment.GetEnvironmentVariable("LISTEN_FDS"), Environment.GetEnvironmentVariable("LISTEN_FDNAMES"));

    /// <summary>The descriptors of a name: a socket unit with several ListenStream lines hands over as many.</summary>
    /// <exception cref="IOException">There is none; the message has the cause and the remedy.</exception>
    public IReadOnlyList<int> Find(string name)
    {
        if (!int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out int handedOver) || handedOver == 0)
        {
            throw new IOException(
                $"'fd:{name}' is a socket that the program's parent passes, and none was passed (LISTEN_FDS is {Format(count)}). "
                + $"Start it by a systemd socket unit with FileDescriptorName={name}, or write tcp://host:port or unix:/path.");
        }

        if (processId != Environment.ProcessId.ToString(CultureInfo.InvariantCulture))
        {
            throw new IOException(
                $"'fd:{name}' cannot be used: the sockets were passed to another process (LISTEN_PID is {Format(processId)}, this is {Environment.ProcessId}). "
                + "Start the program itself, or with exec as the last line of a script.");
        }

        string[] given = names?.Split(':') ?? [];
        int[] found = [.. Enumerable.Range(0, handedOver).Where(i => (i < given.Length ? given[i] : Unnamed) == name).Select(i => First + i)];
        if (found.Length == 0)
        {
            string others = string.Join(", ", Enumerable.Range(0, handedOver).Select(i => i < given.Length ? given[i] : Unnamed).Distinct());
            throw new IOException(
                $"No socket named '{name}' was passed. The names are: {others}. Use one of them, or FileDescriptorName={name} in the socket unit.");
        }

        return found;
    }

    /// <summary>The sockets of a name, each on a duplicate descriptor that the caller may close.</summary>
    /// <exception cref="IOException">There is none, or it is not listening; the message has the cause and the remedy.</exception>
    public IReadOnlyList<Socket> Open(string name)
    {
        var sockets = new List<Socket>();
        try
        {
            foreach (int descriptor in Find(name))
            {
                sockets.Add(Open(name, descriptor));
            }

            return sockets;
        }
        catch
        {
            sockets.ForEach(socket => socket.Dispose());
            throw;
        }
    }

    /// <summary>A handle on a duplicate of a descriptor: closing it leaves the original open.</summary>
    /// <returns>The handle; null if the descriptor is not open, with the cause as the last P/Invoke error.</returns>
    public static SafeSocketHandle? Duplicate(int descriptor)
    {
        int copy = LibC.TryDuplicate(descriptor);
        return copy < 0 ? null : new SafeSocketHandle(copy, ownsHandle: true);
    }

    private static Socket Open(string name, int descriptor)
    {
        SafeSocketHandle handle = Duplicate(descriptor) ?? throw new IOException(
            $"'fd:{name}', descriptor {descriptor}, cannot be used: {Marshal.GetLastPInvokeErrorMessage()}. Pass an open descriptor.");
        Socket? socket = null;
        Span<byte> listens = stackalloc byte[4];
        try
        {
            socket = new Socket(handle);
            socket.GetRawSocketOption(SocketConstants.SolSocket, SocketConstants.SoAcceptConn, listens);
        }
        catch (SocketException error)
        {
            handle.Dispose();
            throw new IOException($"'fd:{name}', descriptor {descriptor}, is not a socket: {error.Message}. Pass a listening socket.", error);
        }

        if (socket.SocketType != SocketType.Stream || MemoryMarshal.Read<int>(listens) == 0)
        {
            socket.Dispose();
            throw new IOException(
                $"'fd:{name}' is not a listening stream socket. The socket unit needs ListenStream= for it, and Accept=no.");
        }

        return socket;
    }

    private static string Format(string? value) => string.IsNullOrEmpty(value) ? "not set" : value;
}
