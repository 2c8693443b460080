using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace ByteStreams.Transport;

/// <summary>
/// How near the process is to its limit of open descriptors (RLIMIT_NOFILE). A listener stops short of it, because the runtime
/// itself does not survive the last one: it needs two to start a thread, and ends the process where it cannot have them.
/// </summary>
internal sealed partial class DescriptorLimit
{
    /// <summary>What listeners leave to the runtime and the program: threads, files, assemblies that are loaded late.</summary>
    private const long Reserve = 64;

    private DescriptorLimit(long most) => Most = most;

    /// <summary>The limit; none is known on Windows, which has no such thing.</summary>
    public long Most { get; }

    /// <summary>The limit as it is now.</summary>
    public static DescriptorLimit Current()
    {
        const int linux = 7;
        const int macOS = 8;
        if (OperatingSystem.IsWindows() || GetLimit(OperatingSystem.IsLinux() ? linux : macOS, out Limit limit) != 0)
        {
            return new DescriptorLimit(long.MaxValue);
        }

        return new DescriptorLimit((long)Math.Min(limit.Soft, long.MaxValue));
    }

    /// <summary>
    /// Whether a descriptor that was just given out lies in the reserve: the system gives out the lowest that is free, so that
    /// all below it are in use.
    /// </summary>
    public bool IsNear(nint newest) => Most != long.MaxValue && newest >= Most - Math.Min(Reserve, Most / 8);

    /// <summary>Whether the next descriptor would lie in the reserve.</summary>
    public bool IsNear()
    {
        try
        {
            using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            return IsNear(probe.Handle);
        }
        catch (SocketException)
        {
            // There is not even this one.
            return true;
        }
    }

    [LibraryImport("libc", EntryPoint = "getrlimit")]
    private static partial int GetLimit(int resource, out Limit limit);

    /// <summary>struct rlimit of the 64-bit systems.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Limit
    {
        public ulong Soft;
        public ulong Hard;
    }
}
