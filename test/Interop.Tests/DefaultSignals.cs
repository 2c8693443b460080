using System.Globalization;

namespace ByteStreams.Interop.Tests;

/// <summary>
/// Starts programs with SIGINT and SIGQUIT as a terminal's programs have them. A shell starts what it runs in the background with both
/// ignored, and a program inherits that: it would not end by them.
/// </summary>
internal static class DefaultSignals
{
    private const ulong InterruptAndQuit = (1 << (2 - 1)) | (1 << (3 - 1));

    /// <summary>What resets them and becomes the program (GNU coreutils).</summary>
    public static readonly string[] Reset = ["env", "--default-signal=INT,QUIT"];

    private static readonly bool AreIgnored = Ignored();

    /// <summary>The command that starts a program so.</summary>
    public static string[] For(params string[] command) => AreIgnored ? [.. Reset, .. command] : command;

    private static bool Ignored() => OperatingSystem.IsLinux() && File.ReadLines("/proc/self/status")
        .Where(line => line.StartsWith("SigIgn:", StringComparison.Ordinal))
        .Any(line => (ulong.Parse(line.AsSpan("SigIgn:".Length).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture) & InterruptAndQuit) != 0);
}
