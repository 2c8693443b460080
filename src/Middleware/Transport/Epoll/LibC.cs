using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ByteStreams.Transport;

/// <summary>
/// The system calls of the Linux engine, as they are in libc; glibc and musl agree on all of them on 64-bit little-endian
/// machines. Whoever calls looks at <see cref="Marshal.GetLastPInvokeError"/> where the result is negative.
/// </summary>
internal static unsafe partial class LibC
{
    public const int EpollAdd = 1;
    public const int EpollDelete = 2;
    public const int EpollModify = 3;

    public const int Interrupted = 4;
    public const int TryAgain = 11;
    public const int InProgress = 115;

    public const int MsgControlTruncated = 0x8;
    private const int MsgDontWait = 0x40;
    private const int MsgNoSignal = 0x4000;
    private const int SockNonBlock = 0x800;
    private const int SockCloseOnExec = 0x80000;
    private const int EpollCloseOnExec = 0x80000;
    private const int ShutdownWrite = 1;
    private const int SolSocket = 1;
    private const int SoLinger = 13;
    private const short PollIn = 1;
    private const int DuplicateCloseOnExec = 1030;
    private const int SetFlags = 4;
    private const int OpenReadWrite = 2;

    /// <summary>The largest address: struct sockaddr_in6.</summary>
    public const int AddressSize = 28;

    /// <summary>struct epoll_event is packed on x86-64 only, so that a 32-bit program's fits (epoll_ctl(2)).</summary>
    private static readonly int EventSize = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;
    private static readonly int DataOffset = EventSize - sizeof(ulong);

    /// <summary>Whether this machine is one that the declarations below are right for.</summary>
    public static bool IsSupported =>
        OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture is Architecture.X64 or Architecture.Arm64;

    public static int CreateEpoll() => Checked(EpollCreate1(EpollCloseOnExec));

    /// <summary>Adds, changes or removes a descriptor's registration. Answers 0 or an errno.</summary>
    public static int Control(int epoll, int operation, int descriptor, EpollEvents events, ulong data)
    {
        byte* entry = stackalloc byte[16];
        Unsafe.WriteUnaligned(entry, (uint)events);
        Unsafe.WriteUnaligned(entry + DataOffset, data);
        return EpollCtl(epoll, operation, descriptor, entry) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    public static byte* AllocateEvents(int count) => (byte*)NativeMemory.AllocZeroed((nuint)count, (nuint)EventSize);

    public static (EpollEvents Events, ulong Data) EventAt(byte* events, int index)
    {
        byte* entry = events + (index * EventSize);
        return ((EpollEvents)Unsafe.ReadUnaligned<uint>(entry), Unsafe.ReadUnaligned<ulong>(entry + DataOffset));
    }

    /// <summary>Waits for events; a signal is no event (0).</summary>
    public static int Wait(int epoll, byte* events, int most, int milliseconds)
    {
        int count = EpollWait(epoll, events, most, milliseconds);
        if (count < 0)
        {
            int error = Marshal.GetLastPInvokeError();
            return error == Interrupted ? 0 : throw new InvalidOperationException($"epoll_wait failed with errno {error}.");
        }

        return count;
    }

    /// <summary>Whether a descriptor has something to tell; nothing is taken from it.</summary>
    public static bool IsReady(int descriptor)
    {
        var entry = new PollEntry { Descriptor = descriptor, Events = PollIn };
        return Poll(&entry, 1, 0) > 0;
    }

    /// <summary>Receives without waiting. Answers the count, or minus an errno.</summary>
    public static int Receive(int descriptor, Span<byte> destination)
    {
        fixed (byte* start = destination)
        {
            nint count;
            while ((count = Recv(descriptor, start, (nuint)destination.Length, MsgDontWait)) < 0)
            {
                int error = Marshal.GetLastPInvokeError();
                if (error != Interrupted)
                {
                    return -error;
                }
            }

            return (int)count;
        }
    }

    /// <summary>
    /// Receives without waiting, and tells whether the peer passed descriptors along, behind which the kernel stops although more
    /// bytes may be there. They are closed by the kernel, since nobody asked for them.
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
                if (error != Interrupted)
                {
                    stopped = false;
                    return -error;
                }
            }

            stopped = (message.Flags & MsgControlTruncated) != 0;
            return (int)count;
        }
    }

    /// <summary>Sends without waiting and without SIGPIPE. Answers the count, or minus an errno.</summary>
    public static int Send(int descriptor, ReadOnlySpan<byte> source)
    {
        fixed (byte* start = source)
        {
            nint count;
            while ((count = Send(descriptor, start, (nuint)source.Length, MsgDontWait | MsgNoSignal)) < 0)
            {
                int error = Marshal.GetLastPInvokeError();
                if (error != Interrupted)
                {
                    return -error;
                }
            }

            return (int)count;
        }
    }

    /// <summary>Sends several pieces with one call; as <see cref="Send(int, ReadOnlySpan{byte})"/> otherwise. The pieces are pinned by the caller.</summary>
    public static int Send(int descriptor, ReadOnlySpan<Piece> pieces)
    {
        fixed (Piece* first = pieces)
        {
            var message = new Message { Pieces = first, PieceCount = (nuint)pieces.Length };
            nint count;
            while ((count = SendMsg(descriptor, &message, MsgDontWait | MsgNoSignal)) < 0)
            {
                int error = Marshal.GetLastPInvokeError();
                if (error != Interrupted)
                {
                    return -error;
                }
            }

            return (int)count;
        }
    }

    /// <summary>Accepts without waiting. Answers the descriptor, or minus an errno; <paramref name="address"/> is filled with the peer's.</summary>
    public static int Accept(int listening, Span<byte> address)
    {
        fixed (byte* start = address)
        {
            int length = address.Length;
            int accepted = Accept4(listening, address.IsEmpty ? null : start, address.IsEmpty ? null : &length, SockNonBlock | SockCloseOnExec);
            return accepted >= 0 ? accepted : -Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>The address of this side. Answers 0 or an errno.</summary>
    public static int LocalAddress(int descriptor, Span<byte> address)
    {
        fixed (byte* start = address)
        {
            int length = address.Length;
            return GetSockName(descriptor, start, &length) == 0 ? 0 : Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>Ends the sending direction. Answers 0 or an errno.</summary>
    public static int ShutdownSend(int descriptor) =>
        Shutdown(descriptor, ShutdownWrite) == 0 ? 0 : Marshal.GetLastPInvokeError();

    /// <summary>Makes the close of a TCP connection a reset (RFC 9293, ABORT). Fails only where there is nothing left to reset.</summary>
    public static void LingerZero(int descriptor)
    {
        long onForZeroSeconds = 1;
        _ = SetSockOpt(descriptor, SolSocket, SoLinger, &onForZeroSeconds, sizeof(long));
    }

    /// <summary>Reads an option. Answers 0 or an errno.</summary>
    public static int GetOption(int descriptor, int level, int name, Span<byte> value)
    {
        fixed (byte* start = value)
        {
            int length = value.Length;
            return GetSockOpt(descriptor, level, name, start, &length) == 0 ? 0 : Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>The error of what was tried last; 0 if it went well (SO_ERROR, socket(7)).</summary>
    public static int PendingError(int descriptor)
    {
        const int pending = 4;
        Span<byte> value = stackalloc byte[sizeof(int)];
        int error = GetOption(descriptor, SolSocket, pending, value);
        return error != 0 ? error : BitConverter.ToInt32(value);
    }

    /// <summary>A new stream socket of the address family AF_UNIX, which does not block.</summary>
    /// <exception cref="SocketException">The process or the system has too many descriptors.</exception>
    public static int OpenUnix()
    {
        const int unix = 1;
        const int stream = 1;
        return Checked(OpenSocket(unix, stream | SockNonBlock | SockCloseOnExec, 0));
    }

    /// <summary>Begins to connect a non-blocking socket. Answers 0 or an errno.</summary>
    public static int Connect(int descriptor, ReadOnlySpan<byte> address)
    {
        fixed (byte* start = address)
        {
            return Connect(descriptor, start, address.Length) == 0 ? 0 : Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>Another descriptor of the same open socket.</summary>
    /// <exception cref="SocketException">The process has too many.</exception>
    public static int Duplicate(int descriptor) => Checked(Fcntl(descriptor, DuplicateCloseOnExec, 3));

    /// <summary>Another descriptor of the same open socket, which does not block from now on.</summary>
    /// <exception cref="SocketException">The process has too many.</exception>
    public static int DuplicateNonBlocking(int descriptor)
    {
        int duplicate = Duplicate(descriptor);
        _ = Fcntl(duplicate, SetFlags, OpenReadWrite | SockNonBlock);
        return duplicate;
    }

    [LibraryImport("libc", EntryPoint = "close")]
    public static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "sched_yield")]
    public static partial int Yield();

    /// <summary>The kernel's id of the calling thread.</summary>
    /// <remarks>By its number: glibc has the function from 2.30 on, and the runtime needs 2.27 (RHEL 8 has 2.28).</remarks>
    public static int ThreadId() => (int)SystemCall(RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 178 : 186);

    /// <summary>Nanoseconds of processor time that a thread of this process has used; negative where the kernel does not say.</summary>
    public static long ThreadTime(int thread)
    {
        // The clock of a thread, as pthread_getcpuclockid makes it: CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED.
        long* time = stackalloc long[2];
        return ClockGetTime((~thread << 3) | 6, time) == 0 ? (time[0] * 1_000_000_000) + time[1] : -1;
    }

    /// <summary>How often the calling thread has given its processor up of its own accord (struct rusage, ru_nvcsw).</summary>
    public static long VoluntarySwitches()
    {
        const int usageOfThread = 1;
        const int usageLongs = 18;
        const int voluntarySwitches = 16;
        long* usage = stackalloc long[usageLongs];
        return GetUsage(usageOfThread, usage) == 0 ? usage[voluntarySwitches] : 0;
    }

    private static int Checked(int result) => result >= 0
        ? result
        : throw new SocketException((int)Errno.ToSocketError(Marshal.GetLastPInvokeError()));

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int EpollCreate1(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int EpollCtl(int epoll, int operation, int descriptor, byte* entry);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int EpollWait(int epoll, byte* events, int most, int milliseconds);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    private static partial int Poll(PollEntry* entries, nuint count, int milliseconds);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    private static partial nint Recv(int descriptor, byte* destination, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "recvmsg", SetLastError = true)]
    private static partial nint RecvMsg(int descriptor, Message* message, int flags);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    private static partial nint Send(int descriptor, byte* source, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    private static partial nint SendMsg(int descriptor, Message* message, int flags);

    [LibraryImport("libc", EntryPoint = "accept4", SetLastError = true)]
    private static partial int Accept4(int listening, byte* address, int* length, int flags);

    [LibraryImport("libc", EntryPoint = "getsockname", SetLastError = true)]
    private static partial int GetSockName(int descriptor, byte* address, int* length);

    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    private static partial int OpenSocket(int family, int type, int protocol);

    [LibraryImport("libc", EntryPoint = "connect", SetLastError = true)]
    private static partial int Connect(int descriptor, byte* address, int length);

    [LibraryImport("libc", EntryPoint = "shutdown", SetLastError = true)]
    private static partial int Shutdown(int descriptor, int how);

    [LibraryImport("libc", EntryPoint = "setsockopt", SetLastError = true)]
    private static partial int SetSockOpt(int descriptor, int level, int name, void* value, int length);

    [LibraryImport("libc", EntryPoint = "getsockopt", SetLastError = true)]
    private static partial int GetSockOpt(int descriptor, int level, int name, byte* value, int* length);

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial nint SystemCall(nint number);

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int ClockGetTime(int clock, long* time);

    [LibraryImport("libc", EntryPoint = "getrusage")]
    private static partial int GetUsage(int who, long* usage);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Fcntl(int descriptor, int command, nint argument);

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Piece
    {
        public byte* Start;
        public nuint Length;
    }

    /// <summary>struct msghdr. musl's lengths are narrower, with their padding behind them: the same on a little-endian machine.</summary>
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

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }
}

/// <summary>What epoll tells (epoll_ctl(2)).</summary>
[Flags]
internal enum EpollEvents : uint
{
    None = 0,
    In = 0x1,
    Out = 0x4,
    Error = 0x8,
    HangUp = 0x10,
    PeerHangUp = 0x2000,
    Exclusive = 1u << 28,
    EdgeTriggered = 1u << 31,
}
