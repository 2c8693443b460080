using Microsoft.Extensions.Logging;

namespace ByteStreams.Hosting;

/// <summary>Log messages of the hosted endpoints. Ids 800 to 899.</summary>
internal static partial class HostingLog
{
    [LoggerMessage(800, LogLevel.Error, "Configuration reload rejected; keeping the running configuration: {Error}")]
    public static partial void ReloadRejected(ILogger logger, string error);

    [LoggerMessage(801, LogLevel.Information, "Endpoint {Endpoint} was added.")]
    public static partial void EndpointAdded(ILogger logger, string endpoint);

    [LoggerMessage(802, LogLevel.Information, "Endpoint {Endpoint} was removed: its listener is closed, and its handlers are stopping.")]
    public static partial void EndpointRemoved(ILogger logger, string endpoint);

    [LoggerMessage(803, LogLevel.Information, "Endpoint {Endpoint} was changed: new connections use its new settings.")]
    public static partial void EndpointChanged(ILogger logger, string endpoint);

    [LoggerMessage(805, LogLevel.Information, "The connection limit of all endpoints together is now {Most} (0: no limit).")]
    public static partial void TotalChanged(ILogger logger, int most);

    [LoggerMessage(806, LogLevel.Information, "Draining: the health check fails; clients are accepted for another {DelaySeconds} s.")]
    public static partial void DrainDelayed(ILogger logger, double delaySeconds);

    [LoggerMessage(807, LogLevel.Information, "Draining: listeners closed; {Count} connections have {TimeoutSeconds} s to close.")]
    public static partial void Draining(ILogger logger, int count, double timeoutSeconds);

    [LoggerMessage(808, LogLevel.Information, "Drained in {DurationSeconds} s: {Aborted} connections aborted, {LeftBehind} handlers still running.")]
    public static partial void Drained(ILogger logger, double durationSeconds, int aborted, int leftBehind);

    [LoggerMessage(809, LogLevel.Information,
        "The buffers of all connections hold at most {Bytes} bytes before reading pauses (0: no limit). Change it with ByteStreams:MaxBufferedBytes.")]
    public static partial void BufferLimitSet(ILogger logger, long bytes);

    [LoggerMessage(820, LogLevel.Information, "Now listening on: {Address} (endpoint \"{Endpoint}\").")]
    public static partial void Listening(ILogger logger, string address, string endpoint);

    [LoggerMessage(821, LogLevel.Warning,
        "The configuration section '{Section}' does not exist or is empty; no endpoint is loaded from it. {Hint}")]
    public static partial void SectionMissing(ILogger logger, string section, string hint);

    [LoggerMessage(804, LogLevel.Error, "Configuration reload failed: the configuration could not be read; keeping the running configuration.")]
    public static partial void ReloadFailed(ILogger logger, Exception error);
}
