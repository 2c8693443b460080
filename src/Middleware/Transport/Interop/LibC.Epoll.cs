using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ByteStreams.Transport.Interop;

/// <content>epoll(7).</content>
internal static unsafe partial class LibC
{
    public const int EpollAdd = 1;
    public const int EpollDelete = 2;
    public const int EpollModify = 3;

    /// <summary>struct epoll_event is packed on x86-64 only, so that a 32-bit program's fits (epoll_ctl(2)).</summary>
    private static readonly int EventSize = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;
    private static readonly int DataOffset = EventSize - sizeof(ulong);

    public static int CreateEpoll() => Checked(EpollCreate1(CloseOnExec));

    /// <summary>Adds, changes or removes a descriptor's registration. Returns 0 or an errno.</summary>
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

    /// <summary>Waits for events. Returns their count; 0 after a signal.</summary>
    public static int Wait(int epoll, byte* events, int most, int milliseconds)
    {
        int count = EpollWait(epoll, events, most, milliseconds);
        if (count < 0)
        {
            int error = Marshal.GetLastPInvokeError();
            return error == Errno.Interrupted ? 0 : throw new InvalidOperationException($"epoll_wait failed with errno {error}.");
        }

        return count;
    }

    [LibraryImport(Library, EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int EpollCreate1(int flags);

    [LibraryImport(Library, EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int EpollCtl(int epoll, int operation, int descriptor, byte* entry);

    [LibraryImport(Library, EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int EpollWait(int epoll, byte* events, int most, int milliseconds);
}

/// <summary>The events of epoll_ctl(2).</summary>
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
