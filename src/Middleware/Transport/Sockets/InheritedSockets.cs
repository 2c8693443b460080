using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Sockets;

/// <summary>
/// Sockets that were open when the program was started, each with a name: systemd's socket activation (sd_listen_fds(3)). They stay
/// open for as long as the process lives, so that clients wait in their queue while nobody accepts.
/// </summary>
/// <param name="processId">LISTEN_PID: for whom they are.</param>
/// <param name="count">LISTEN_FDS: how many, from descriptor 3 on.</param>
/// <param name="names">LISTEN_FDNAMES: their names, with colons between them.</param>
internal sealed class InheritedSockets(string? processId, string? count, string? names)
{
    /// <summary>The first descriptor behind standard error (SD_LISTEN_FDS_START).</summary>
    private const int First = 3;

    /// <summary>What systemd calls those without a name.</summary>
    private const string Unnamed = "unknown";

    public static InheritedSockets OfThisProcess { get; } = new(
        Environment.GetEnvironmentVariable("LISTEN_PID"), Environment.GetEnvironmentVariable("LISTEN_FDS"), Environment.GetEnvironmentVariable("LISTEN_FDNAMES"));

    /// <summary>The descriptors of a name: a socket unit with several ListenStream lines hands over as many.</summary>
    /// <exception cref="IOException">There is none; the message says why, and what to do.</exception>
    public IReadOnlyList<int> Find(string name)
    {
        if (!int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out int handedOver) || handedOver == 0)
        {
            throw new IOException(
                $"'fd:{name}' is a socket that whoever starts the program hands over, and none was (LISTEN_FDS is {Shown(count)}). "
                + $"Start it by a systemd socket unit with FileDescriptorName={name}, or write tcp://host:port or unix:/path.");
        }

        if (processId != Environment.ProcessId.ToString(CultureInfo.InvariantCulture))
        {
            throw new IOException(
                $"'fd:{name}' cannot be used: the sockets were handed over to another process (LISTEN_PID is {Shown(processId)}, this is {Environment.ProcessId}). "
                + "Start the program itself, or with exec as the last line of a script.");
        }

        string[] given = names?.Split(':') ?? [];
        int[] found = [.. Enumerable.Range(0, handedOver).Where(i => (i < given.Length ? given[i] : Unnamed) == name).Select(i => First + i)];
        if (found.Length == 0)
        {
            string others = string.Join(", ", Enumerable.Range(0, handedOver).Select(i => i < given.Length ? given[i] : Unnamed).Distinct());
            throw new IOException(
                $"No socket of the name '{name}' was handed over. The names are: {others}. Write one of them, or FileDescriptorName={name} in the socket unit.");
        }

        return found;
    }

    /// <summary>The sockets of a name, each under a descriptor of its own, which may be closed.</summary>
    /// <exception cref="IOException">There is none, or it is none that listens; the message says why, and what to do.</exception>
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

    /// <summary>A handle of its own for a descriptor that others own: closing it leaves theirs open.</summary>
    /// <returns>The handle; null where the descriptor is not open, with the reason as the last P/Invoke error.</returns>
    public static SafeSocketHandle? Duplicate(int descriptor)
    {
        int copy = LibC.TryDuplicate(descriptor);
        return copy < 0 ? null : new SafeSocketHandle(copy, ownsHandle: true);
    }

    private static Socket Open(string name, int descriptor)
    {
        SafeSocketHandle handle = Duplicate(descriptor) ?? throw new IOException(
            $"'fd:{name}', descriptor {descriptor}, cannot be used: {Marshal.GetLastPInvokeErrorMessage()}. Have it handed over open.");
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
            throw new IOException($"'fd:{name}', descriptor {descriptor}, is no socket: {error.Message}. Have a listening one handed over.", error);
        }

        if (socket.SocketType != SocketType.Stream || MemoryMarshal.Read<int>(listens) == 0)
        {
            socket.Dispose();
            throw new IOException(
                $"'fd:{name}' is no socket that listens. The socket unit needs ListenStream= for it, and Accept=no.");
        }

        return socket;
    }

    private static string Shown(string? value) => string.IsNullOrEmpty(value) ? "not set" : value;
}
