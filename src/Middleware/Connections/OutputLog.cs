using Microsoft.Extensions.Logging;

namespace ByteStreams.Connections;

/// <summary>What is logged about the log itself. Id 720.</summary>
internal static partial class OutputLog
{
    public const string Category = "ByteStreams.Log";

    [LoggerMessage(720, LogLevel.Warning, "{Count} log messages were dropped: standard output or standard error was not read, or could not be written.")]
    public static partial void LogDropped(ILogger logger, long count);
}
