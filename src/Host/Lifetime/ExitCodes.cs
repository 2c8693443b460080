using ByteStreams;

namespace StreamsHost.Lifetime;

/// <summary>How the process ends, for whoever started it; where it did not even start, <see cref="Commands.CommandLine.Failed"/>.</summary>
internal static class ExitCodes
{
    /// <summary>Every connection ended by itself.</summary>
    public const int Clean = 0;

    /// <summary>Somebody was cut off at the drain's deadline, or by a second signal.</summary>
    public const int Cut = 2;

    public static int Of(DrainReport report) => report.IsClean ? Clean : Cut;
}
