using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace ByteStreams.Transport.Interop;

/// <content>What applies to descriptors of every type: close, duplicate, poll, and the process's limit of them.</content>
internal static unsafe partial class LibC
{
    private const int DuplicateCloseOnExec = 1030;
    private const int SetFlags = 4;
    private const int OpenReadWrite = 2;
    private const int FirstAfterStandardError = 3;
    private const short PollIn = 0x1;
    private const short PollPeerHangUp = 0x2000;
    private const int DescriptorLimitLinux = 7;
    private const int DescriptorLimitMacOS = 8;

    [LibraryImport(Library, EntryPoint = "close")]
    public static partial int Close(int descriptor);

    /// <summary>Duplicates a descriptor; the new one is closed on exec. Returns the new descriptor; negative on failure.</summary>
    public static int TryDuplicate(int descriptor) => Fcntl(descriptor, DuplicateCloseOnExec, FirstAfterStandardError);

    /// <inheritdoc cref="TryDuplicate"/>
    /// <exception cref="SocketException">The process has no free descriptor.</exception>
    public static int Duplicate(int descriptor) => Checked(TryDuplicate(descriptor));

    /// <summary>Duplicates a socket's descriptor and sets the socket to non-blocking.</summary>
    /// <exception cref="SocketException">The process has no free descriptor.</exception>
    public static int DuplicateNonBlocking(int descriptor)
    {
        int duplicate = Duplicate(descriptor);
        _ = Fcntl(duplicate, SetFlags, OpenReadWrite | NonBlocking);
        return duplicate;
    }

    /// <summary>Whether a descriptor is readable. Consumes nothing.</summary>
    public static bool IsReady(int descriptor) => IsAny(descriptor, PollIn);

    /// <summary>Whether the peer of a socket has shut down its sending direction, or the connection is gone.</summary>
    public static bool HasPeerHungUp(int descriptor) => IsAny(descriptor, PollPeerHangUp);

    /// <summary>The soft limit of open descriptors when called (RLIMIT_NOFILE); <see cref="long.MaxValue"/> where there is none.</summary>
    public static long GetDescriptorLimit() =>
        OperatingSystem.IsWindows() || GetLimit(OperatingSystem.IsLinux() ? DescriptorLimitLinux : DescriptorLimitMacOS, out ResourceLimit limit) != 0
            ? long.MaxValue
            : (long)Math.Min(limit.Soft, long.MaxValue);

    private static bool IsAny(int descriptor, short events)
    {
        var entry = new PollEntry { Descriptor = descriptor, Events = events };
        return Poll(&entry, 1, 0) > 0;
    }

    [LibraryImport(Library, EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Fcntl(int descriptor, int command, nint argument);

    [LibraryImport(Library, EntryPoint = "poll")]
    private static partial int Poll(PollEntry* entries, nuint count, int milliseconds);

    [LibraryImport(Library, EntryPoint = "getrlimit")]
    private static partial int GetLimit(int resource, out ResourceLimit limit);

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    /// <summary>struct rlimit of the 64-bit systems.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct ResourceLimit
    {
        public ulong Soft;
        public ulong Hard;
    }
}
