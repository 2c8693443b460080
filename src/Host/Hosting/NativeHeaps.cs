using System.Runtime.InteropServices;

namespace StreamsHost.Hosting;

/// <summary>The heaps (arenas) of the C library, in which OpenSSL allocates.</summary>
/// <remarks>
/// glibc gives each thread a heap of its own, up to eight for each processor. A buffer of a TLS record leaves a gap in its thread's heap that threads
/// with other heaps cannot use: an idle TLS connection then takes half as much memory again.
/// </remarks>
internal static partial class NativeHeaps
{
    /// <summary>The environment variable by which glibc takes the number (mallopt(3)).</summary>
    private const string Variable = "MALLOC_ARENA_MAX";

    private const string Library = "libc.so.6";
    private const int ArenaMax = -8;

    /// <summary>Limits the heaps to one for each processor, at least two, unless the environment sets their number. Called before threads start.</summary>
    public static void Limit()
    {
        // Not with musl, which has one heap.
        if (OperatingSystem.IsLinux() && Environment.GetEnvironmentVariable(Variable) is null
            && NativeLibrary.TryLoad(Library, out _))
        {
            _ = SetOption(ArenaMax, Math.Max(2, Environment.ProcessorCount));
        }
    }

    [LibraryImport(Library, EntryPoint = "mallopt")]
    private static partial int SetOption(int option, int value);
}
