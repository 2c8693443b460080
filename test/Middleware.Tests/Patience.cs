using System.Globalization;

namespace ByteStreams.Middleware.Tests;

/// <summary>What a row of the fault matrix demands within so many seconds, it demands on a machine that does nothing else.</summary>
internal static class Patience
{
    /// <summary>The time, stretched by the processes that want to run for each processor; where the system does not tell, as it is.</summary>
    public static TimeSpan OnThisMachine(TimeSpan alone)
    {
        const string Load = "/proc/loadavg";
        double each = File.Exists(Load) ? double.Parse(File.ReadAllText(Load).Split(' ')[0], CultureInfo.InvariantCulture) / Environment.ProcessorCount : 1;
        return alone * Math.Max(1, each);
    }
}
