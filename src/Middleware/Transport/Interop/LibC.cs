using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace ByteStreams.Transport.Interop;

/// <summary>
/// The functions of libc that this library calls, one file per concern. The Linux declarations are those of x64 and arm64, where glibc and
/// musl agree on all of them. A function that fails leaves its errno in <see cref="Marshal.GetLastPInvokeError"/>.
/// </summary>
internal static unsafe partial class LibC
{
    private const string Library = "libc";

    /// <summary>O_CLOEXEC, which SOCK_CLOEXEC and EPOLL_CLOEXEC are defined as.</summary>
    private const int CloseOnExec = 0x80000;

    /// <summary>O_NONBLOCK, which SOCK_NONBLOCK is defined as.</summary>
    private const int NonBlocking = 0x800;

    /// <summary>Whether the Linux declarations match this machine.</summary>
    public static bool IsSupported =>
        OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture is Architecture.X64 or Architecture.Arm64;

    /// <exception cref="SocketException">The call failed.</exception>
    private static int Checked(int result) => result >= 0 ? result : throw Errno.ToException(Marshal.GetLastPInvokeError());
}
