using ByteStreams.Transport.Interop;
using Microsoft.Win32.SafeHandles;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// The activity of a thread of this process. A handler that blocks its thread, or computes for long, must not delay others; a thread that waits
/// for a processor does neither, and another thread in its place would wait too.
/// </summary>
internal static class ThreadActivity
{
    /// <summary>The calling thread, for <see cref="ProcessorTime"/> and <see cref="IsAsleep"/>.</summary>
    public static int Current() => LibC.ThreadId();

    /// <summary>Processor time that the thread has used; null if the kernel does not report it.</summary>
    public static TimeSpan? ProcessorTime(int thread) => LibC.ThreadTime(thread) is >= 0 and long nanoseconds ? new TimeSpan(nanoseconds / 100) : null;

    /// <summary>The voluntary context switches of the calling thread.</summary>
    public static long Waits() => LibC.VoluntarySwitches();

    /// <summary>Whether the thread waits for something other than a processor. True if the kernel does not report it.</summary>
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
