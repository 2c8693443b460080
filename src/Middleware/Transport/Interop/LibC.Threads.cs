using System.Runtime.InteropServices;

namespace ByteStreams.Transport.Interop;

/// <content>Threads: identity, processor time, scheduling.</content>
internal static unsafe partial class LibC
{
    private const int GetThreadIdX64 = 186;
    private const int GetThreadIdArm64 = 178;

    [LibraryImport(Library, EntryPoint = "sched_yield")]
    public static partial int Yield();

    /// <summary>The kernel's id of the calling thread.</summary>
    /// <remarks>By the number of the system call: glibc has the function from 2.30 on, and the runtime needs 2.27 (RHEL 8 has 2.28).</remarks>
    public static int ThreadId() => (int)SystemCall(RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? GetThreadIdArm64 : GetThreadIdX64);

    /// <summary>Nanoseconds of processor time that a thread of this process has used; negative where the kernel does not report it.</summary>
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

    [LibraryImport(Library, EntryPoint = "syscall")]
    private static partial nint SystemCall(nint number);

    [LibraryImport(Library, EntryPoint = "clock_gettime")]
    private static partial int ClockGetTime(int clock, long* time);

    [LibraryImport(Library, EntryPoint = "getrusage")]
    private static partial int GetUsage(int who, long* usage);
}
