using System.Collections.Frozen;
using System.Runtime.InteropServices;

namespace ByteStreams.Fuzz;

/// <summary>What the fuzzer runs, and what one input may cost at most: a second of the processor, and memory by its target.</summary>
/// <param name="Run">The target. It throws where the input shows a error.</param>
/// <param name="MostAllocated">Bytes that one input may allocate, beside <paramref name="PerByte"/>.</param>
/// <param name="PerByte">Bytes more for each byte of the input.</param>
/// <param name="IsAsync">Whether it has other threads work for it, whose costs then are the process's.</param>
internal sealed record FuzzTarget(Action<ReadOnlySpan<byte>> Run, long MostAllocated, int PerByte, bool IsAsync = false)
{
    private const int ThreadCpuClock = 3;

    private static readonly TimeSpan MostTime = TimeSpan.FromSeconds(1);

    /// <summary>Longer inputs tell nothing that shorter ones do not, and cost the fuzzer its speed.</summary>
    private const int Longest = 16384;

    public static FrozenDictionary<string, FuzzTarget> All { get; } = new Dictionary<string, FuzzTarget>
    {
        // A header is copied for each cut of it that is tried, 64 at most, into at most 4 KiB and its additions.
        ["proxy"] = new(ProxyHeaderTarget.Run, MostAllocated: 1_000_000, PerByte: 1000),
        ["reader"] = new(ReaderTarget.Run, MostAllocated: 4_000_000, PerByte: 4000),
        ["framing"] = new(FramingTarget.Run, MostAllocated: 4_000_000, PerByte: 20_000),
        ["url"] = new(EndpointUrlTarget.Run, MostAllocated: 100_000, PerByte: 200),
        ["configuration"] = new(ConfigurationTarget.Run, MostAllocated: 4_000_000, PerByte: 20_000),
        ["tls"] = new(TlsRecordTarget.Run, MostAllocated: 2_000_000, PerByte: 50, IsAsync: true),
    }.ToFrozenDictionary();

    /// <summary>Runs the target and holds it to its limits.</summary>
    /// <param name="bytes">The input.</param>
    /// <param name="isAlone">Whether nothing else runs in this process, so that what the process spends is what this input costs.</param>
    public void Measure(ReadOnlySpan<byte> bytes, bool isAlone)
    {
        if (bytes.Length > Longest)
        {
            return;
        }

        bool ofProcess = IsAsync && isAlone;
        (long allocated, TimeSpan time) = Spent(ofProcess);
        Run(bytes);
        (long allocatedNow, TimeSpan timeNow) = Spent(ofProcess);
        long most = MostAllocated + ((long)PerByte * bytes.Length);
        Demand.That(allocatedNow - allocated <= most, () => $"{allocatedNow - allocated} bytes of memory were allocated; at most {most} may be.");
        Demand.That(timeNow - time <= MostTime, () => $"It took {(timeNow - time).TotalMilliseconds:0} ms of the processor.");
    }

    private static (long Allocated, TimeSpan Time) Spent(bool ofProcess) => ofProcess
        ? (GC.GetTotalAllocatedBytes(), Environment.CpuUsage.TotalTime)
        : (GC.GetAllocatedBytesForCurrentThread(), ThreadTime());

    /// <summary>Not the clock on the wall: the machine may have other things to do.</summary>
    private static TimeSpan ThreadTime()
    {
        // Seconds and nanoseconds, as a 64-bit Linux has them.
        long[] time = new long[2];
        Demand.That(GetTime(ThreadCpuClock, time) == 0, "The system does not tell what a thread has spent.");
        return TimeSpan.FromSeconds(time[0]) + TimeSpan.FromTicks(time[1] / TimeSpan.NanosecondsPerTick);
    }

    [DllImport("libc", EntryPoint = "clock_gettime")]
    private static extern int GetTime(int clock, long[] time);
}
