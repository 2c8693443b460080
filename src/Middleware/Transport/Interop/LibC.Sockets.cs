using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace ByteStreams.Transport.Interop;

/// <content>Stream sockets. No call blocks, and none raises SIGPIPE.</content>
internal static unsafe partial class LibC
{
    private const int UnixFamily = 1;
    private const int StreamType = 1;
    private const int MsgControlTruncated = 0x8;
    private const int MsgDontWait = 0x40;
    private const int MsgNoSignal = 0x4000;
    private const int ShutdownWrite = 1;

    /// <summary>SIOCOUTQ on TCP, the same number on Unix sockets: bytes sent and not yet acknowledged, or not yet read by the peer.</summary>
    private const nuint SiocOutq = 0x5411;

    /// <summary>SIOCINQ: bytes received and not yet read.</summary>
    private const nuint SiocInq = 0x541B;

    /// <summary>Receives without waiting. Returns the count, or an errno negated.</summary>
    public static int Receive(int descriptor, Span<byte> destination)
    {
        fixed (byte* start = destination)
        {
            nint count;
            while ((count = Recv(descriptor, start, (nuint)destination.Length, MsgDontWait)) < 0)
            {
                int error = Marshal.GetLastPInvokeError();
                if (error != Errno.Interrupted)
                {
                    return -error;
                }
            }

            return (int)count;
        }
    }

    /// <summary>
    /// Receives without waiting; reports whether the peer passed descriptors, after which the kernel stops although more bytes may have
    /// arrived. The kernel closes them, because the call has no space for control data.
    /// </summary>
    public static int Receive(int descriptor, Span<byte> destination, out bool stopped)
    {
        fixed (byte* start = destination)
        {
            var piece = new Piece { Start = start, Length = (nuint)destination.Length };
            var message = new Message { Pieces = &piece, PieceCount = 1 };
            nint count;
            while ((count = RecvMsg(descriptor, &message, MsgDontWait)) < 0)
            {
                int error = Marshal.GetLastPInvokeError();
                if (error != Errno.Interrupted)
                {
                    stopped = false;
                    return -error;
                }
            }

            stopped = (message.Flags & MsgControlTruncated) != 0;
            return (int)count;
        }
    }

    /// <summary>Sends without waiting. Returns the count, or an errno negated.</summary>
    public static int Send(int descriptor, ReadOnlySpan<byte> source)
    {
        fixed (byte* start = source)
        {
            nint count;
            while ((count = Send(descriptor, start, (nuint)source.Length, MsgDontWait | MsgNoSignal)) < 0)
            {
                int error = Marshal.GetLastPInvokeError();
                if (error != Errno.Interrupted)
                {
                    return -error;
                }
            }

            return (int)count;
        }
    }

    /// <summary>Sends several buffers, which the caller has pinned, with one call. Returns the count, or an errno negated.</summary>
    public static int Send(int descriptor, ReadOnlySpan<Piece> pieces)
    {
        fixed (Piece* first = pieces)
        {
            var message = new Message { Pieces = first, PieceCount = (nuint)pieces.Length };
            nint count;
            while ((count = SendMsg(descriptor, &message, MsgDontWait | MsgNoSignal)) < 0)
            {
                int error = Marshal.GetLastPInvokeError();
                if (error != Errno.Interrupted)
                {
                    return -error;
                }
            }

            return (int)count;
        }
    }

    /// <summary>Accepts without waiting and writes the peer's address. Returns the descriptor, or an errno negated.</summary>
    public static int Accept(int listening, Span<byte> address)
    {
        fixed (byte* start = address)
        {
            int length = address.Length;
            int accepted = Accept4(listening, address.IsEmpty ? null : start, address.IsEmpty ? null : &length, NonBlocking | CloseOnExec);
            return accepted >= 0 ? accepted : -Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>Writes the local address. Returns 0 or an errno.</summary>
    public static int LocalAddress(int descriptor, Span<byte> address)
    {
        fixed (byte* start = address)
        {
            int length = address.Length;
            return GetSockName(descriptor, start, &length) == 0 ? 0 : Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>Shuts down the sending direction. Returns 0 or an errno.</summary>
    public static int ShutdownSend(int descriptor) =>
        Shutdown(descriptor, ShutdownWrite) == 0 ? 0 : Marshal.GetLastPInvokeError();

    /// <summary>Makes the close of a TCP connection a reset (RFC 9293, ABORT). Fails only on a socket that is closed already.</summary>
    public static void LingerZero(int descriptor)
    {
        long onForZeroSeconds = 1;
        _ = SetSockOpt(descriptor, SocketConstants.SolSocket, SocketConstants.SoLinger, &onForZeroSeconds, sizeof(long));
    }

    /// <summary>Sets an option to zero. Returns 0 or an errno.</summary>
    public static int DisableOption(int descriptor, int level, int name)
    {
        int off = 0;
        return SetSockOpt(descriptor, level, name, &off, sizeof(int)) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    /// <summary>Reads an option. Returns 0 or an errno.</summary>
    public static int GetOption(int descriptor, int level, int name, Span<byte> value)
    {
        fixed (byte* start = value)
        {
            int length = value.Length;
            return GetSockOpt(descriptor, level, name, start, &length) == 0 ? 0 : Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>The pending error of a socket, which the call clears; 0 without one (SO_ERROR, socket(7)).</summary>
    public static int PendingError(int descriptor)
    {
        Span<byte> value = stackalloc byte[sizeof(int)];
        int error = GetOption(descriptor, SocketConstants.SolSocket, SocketConstants.SoError, value);
        return error != 0 ? error : BitConverter.ToInt32(value);
    }

    /// <summary>Opens a non-blocking Unix stream socket.</summary>
    /// <exception cref="SocketException">The process or the system has no free descriptor.</exception>
    public static int OpenUnix()
    {
        return Checked(OpenSocket(UnixFamily, StreamType | NonBlocking | CloseOnExec, 0));
    }

    /// <summary>Begins to connect a non-blocking socket. Returns 0 or an errno.</summary>
    public static int Connect(int descriptor, ReadOnlySpan<byte> address)
    {
        fixed (byte* start = address)
        {
            return Connect(descriptor, start, address.Length) == 0 ? 0 : Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>Bytes that were sent and that the peer's side has not acknowledged; 0 where the socket does not report it.</summary>
    public static int Unacknowledged(int descriptor) => Ioctl(descriptor, SiocOutq, out int bytes) == 0 ? bytes : 0;

    /// <summary>Bytes that a receive would find; 0 where the socket does not report it.</summary>
    public static int Arrived(int descriptor) => Ioctl(descriptor, SiocInq, out int bytes) == 0 ? bytes : 0;

    [LibraryImport(Library, EntryPoint = "recv", SetLastError = true)]
    private static partial nint Recv(int descriptor, byte* destination, nuint length, int flags);

    [LibraryImport(Library, EntryPoint = "recvmsg", SetLastError = true)]
    private static partial nint RecvMsg(int descriptor, Message* message, int flags);

    [LibraryImport(Library, EntryPoint = "send", SetLastError = true)]
    private static partial nint Send(int descriptor, byte* source, nuint length, int flags);

    [LibraryImport(Library, EntryPoint = "sendmsg", SetLastError = true)]
    private static partial nint SendMsg(int descriptor, Message* message, int flags);

    [LibraryImport(Library, EntryPoint = "accept4", SetLastError = true)]
    private static partial int Accept4(int listening, byte* address, int* length, int flags);

    [LibraryImport(Library, EntryPoint = "getsockname", SetLastError = true)]
    private static partial int GetSockName(int descriptor, byte* address, int* length);

    [LibraryImport(Library, EntryPoint = "socket", SetLastError = true)]
    private static partial int OpenSocket(int family, int type, int protocol);

    [LibraryImport(Library, EntryPoint = "connect", SetLastError = true)]
    private static partial int Connect(int descriptor, byte* address, int length);

    [LibraryImport(Library, EntryPoint = "shutdown", SetLastError = true)]
    private static partial int Shutdown(int descriptor, int how);

    [LibraryImport(Library, EntryPoint = "setsockopt", SetLastError = true)]
    private static partial int SetSockOpt(int descriptor, int level, int name, void* value, int length);

    [LibraryImport(Library, EntryPoint = "getsockopt", SetLastError = true)]
    private static partial int GetSockOpt(int descriptor, int level, int name, byte* value, int* length);

    [LibraryImport(Library, EntryPoint = "ioctl")]
    private static partial int Ioctl(int descriptor, nuint request, out int value);

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Piece
    {
        public byte* Start;
        public nuint Length;
    }

    /// <summary>struct msghdr. musl's lengths are narrower, with padding after them: the same on a little-endian machine.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Message
    {
        public byte* Name;
        public nuint NameLength;
        public Piece* Pieces;
        public nuint PieceCount;
        public byte* Control;
        public nuint ControlLength;
        public int Flags;
    }
}
