using ByteStreams;

namespace StreamsHost.Lifetime;

/// <summary>The exit codes of a run. A failed start exits with 1.</summary>
internal static class ExitCodes
{
    /// <summary>No connection was aborted.</summary>
    public const int Clean = 0;

    /// <summary>Connections were aborted at the drain's deadline, or by a second signal.</summary>
    public const int Aborted = 2;

    public static int FromReport(DrainReport report) => report.IsClean ? Clean : Aborted;
}
