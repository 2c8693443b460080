using ByteStreams.Transport.Interop;
using Microsoft.Win32.SafeHandles;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// What a thread of this process has done with its time. A handler that blocks its thread, or computes for long, must not keep others
/// waiting; a thread that waits for a processor does neither, and another thread in its place would wait as well.
/// </summary>
internal static class ThreadActivity
{
    /// <summary>The calling thread, for <see cref="ProcessorTime"/> and <see cref="IsAsleep"/>.</summary>
    public static int Current() => LibC.ThreadId();

    /// <summary>Processor time that the thread has used; null where the kernel does not say.</summary>
    public static TimeSpan? ProcessorTime(int thread) => LibC.ThreadTime(thread) is >= 0 and long nanoseconds ? new TimeSpan(nanoseconds / 100) : null;

    /// <summary>How often the calling thread has given its processor up to wait for something.</summary>
    public static long Waits() => LibC.VoluntarySwitches();

    /// <summary>Whether the thread waits for something other than a processor. True where the kernel does not say.</summary>
    public static bool IsAsleep(int thread)
    {
        // "PID (COMM) STATE ...", where COMM may contain anything; it is at most 15 characters.
        Span<byte> stat = stackalloc byte[64];
        try
        {
            using SafeFileHandle file = File.OpenHandle($"/proc/self/task/{thread}/stat");
            stat = stat[..RandomAccess.Read(file, stat, 0)];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return true;
        }

        int end = stat.LastIndexOf((byte)')');
        return end < 0 || end + 2 >= stat.Length || stat[end + 2] != (byte)'R';
    }
}
