using System.Net.Sockets;
using System.Runtime.InteropServices;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Sockets;

/// <summary>Changes the options of a listening socket. What only Linux can change stays unchanged elsewhere.</summary>
internal static unsafe class ListeningSocket
{
    /// <summary>The flags' byte of a TCP header, and SYN in it (RFC 9293, 3.1).</summary>
    private const uint FlagsOffset = 13;
    private const uint Syn = 0x02;

    /// <summary>
    /// Changes the socket's options. Clients in its backlog have inherited the old options and keep them. An option that is no longer set gets
    /// the system's value; an option that was never set keeps the socket's value.
    /// </summary>
    public static void Change(Socket socket, ByteStreamListenOptions before, ByteStreamListenOptions after)
    {
        Reset(socket, before, after);
        SocketOptions.SetBuffers(socket, after);
        if (socket.AddressFamily != AddressFamily.Unix)
        {
            SocketOptions.Apply(socket, after);
            Share(socket, after.ReusePort);
        }
    }

    /// <summary>
    /// Sets whether another socket may be bound to an overlapping address. The kernel compares the flags of both sockets when the second one
    /// is bound (inet_csk_bind_conflict).
    /// </summary>
    public static void Share(Socket socket, bool isShared)
    {
        if (isShared || OperatingSystem.IsLinux())
        {
            SocketOptions.SetReusePort(socket, isShared);
        }
    }

    /// <summary>
    /// Drops SYN segments. A client sends its SYN again after a second and reaches the listener of that time; closing the socket with clients
    /// in its backlog would reset them. If the system accepts no filter (gVisor, a locked filter), clients that connect before the close may
    /// be reset.
    /// </summary>
    public static void RefuseNew(Socket socket)
    {
        if (!OperatingSystem.IsLinux() || socket.AddressFamily == AddressFamily.Unix)
        {
            return;
        }

        // ldb [13]; jset #SYN, drop, keep: a classic BPF program sees the segment from its TCP header on.
        Span<Instruction> program =
        [
            new Instruction(0x30, 0, 0, FlagsOffset),
            new Instruction(0x45, 0, 1, Syn),
            new Instruction(0x06, 0, 0, 0),
            new Instruction(0x06, 0, 0, uint.MaxValue),
        ];
        fixed (Instruction* first = program)
        {
            var filter = new Filter((ushort)program.Length, first);
            try
            {
                socket.SetRawSocketOption(SocketConstants.SolSocket, SocketConstants.SoAttachFilter, MemoryMarshal.AsBytes(new Span<Filter>(ref filter)));
            }
            catch (SocketException)
            {
                // The listener is closed without it; a reload that has taken effect must not fail here.
            }
        }
    }

    private static void Reset(Socket socket, ByteStreamListenOptions before, ByteStreamListenOptions after)
    {
        bool isUnix = socket.AddressFamily == AddressFamily.Unix;
        using var fresh = new Socket(socket.AddressFamily, SocketType.Stream, isUnix ? ProtocolType.Unspecified : ProtocolType.Tcp);
        // The kernel doubles the value it is given, and reports the double.
        int scale = OperatingSystem.IsLinux() ? 2 : 1;
        if (before.ReceiveBufferSize is not null && after.ReceiveBufferSize is null)
        {
            socket.ReceiveBufferSize = fresh.ReceiveBufferSize / scale;
            UnlockBuffers(socket, after);
        }

        if (before.SendBufferSize is not null && after.SendBufferSize is null)
        {
            socket.SendBufferSize = fresh.SendBufferSize / scale;
            UnlockBuffers(socket, after);
        }

        if (isUnix || !before.KeepAlive)
        {
            return;
        }

        Restore(after.KeepAlive, SocketOptionLevel.Socket, SocketOptionName.KeepAlive);
        Restore(after.KeepAliveTime is not null, SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime);
        Restore(after.KeepAliveInterval is not null, SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval);
        Restore(after.KeepAliveCount is not null, SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount);

        void Restore(bool isSet, SocketOptionLevel level, SocketOptionName name)
        {
            if (!isSet)
            {
                socket.SetSocketOption(level, name, (int)fresh.GetSocketOption(level, name)!);
            }
        }
    }

    /// <summary>Lets buffers grow that are no longer set. Before Linux 5.14 they keep their size.</summary>
    private static void UnlockBuffers(Socket socket, ByteStreamListenOptions after)
    {
        const int send = 1;
        const int receive = 2;
        if (OperatingSystem.IsLinux() && Environment.OSVersion.Version >= new Version(5, 14))
        {
            Span<byte> locked = stackalloc byte[sizeof(int)];
            MemoryMarshal.Write(locked, (after.SendBufferSize is null ? 0 : send) | (after.ReceiveBufferSize is null ? 0 : receive));
            socket.SetRawSocketOption(SocketConstants.SolSocket, SocketConstants.SoBufferLock, locked);
        }
    }

    /// <summary>struct sock_filter.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly record struct Instruction(ushort Code, byte IfTrue, byte IfFalse, uint Value);

    /// <summary>struct sock_fprog.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly struct Filter(ushort length, Instruction* program)
    {
        private readonly ushort _length = length;
        private readonly Instruction* _program = program;
    }
}
