using Microsoft.Extensions.Logging;

namespace ByteStreams.Hosting;

/// <summary>What the host of the endpoints logs. Ids 800 to 899.</summary>
internal static partial class HostingLog
{
    [LoggerMessage(800, LogLevel.Error, "The configuration has changed and is not taken over, what ran before goes on: {Mistake}")]
    public static partial void ConfigurationRefused(ILogger logger, string mistake);

    [LoggerMessage(801, LogLevel.Information, "Endpoint {Endpoint} was added.")]
    public static partial void EndpointAdded(ILogger logger, string endpoint);

    [LoggerMessage(802, LogLevel.Information, "Endpoint {Endpoint} was removed: it listens no more, and its handlers are told to end.")]
    public static partial void EndpointRemoved(ILogger logger, string endpoint);

    [LoggerMessage(803, LogLevel.Information, "Endpoint {Endpoint} was changed: new connections are served by its new settings.")]
    public static partial void EndpointChanged(ILogger logger, string endpoint);

    [LoggerMessage(805, LogLevel.Information, "All endpoints together take {Most} connections from now on (0: no limit).")]
    public static partial void TotalChanged(ILogger logger, int most);

    [LoggerMessage(806, LogLevel.Information, "Draining: not ready any more; clients are accepted for another {DelaySeconds} s.")]
    public static partial void DrainDelayed(ILogger logger, double delaySeconds);

    [LoggerMessage(807, LogLevel.Information, "Draining: no new clients; {Count} connections have {TimeoutSeconds} s to end.")]
    public static partial void Draining(ILogger logger, int count, double timeoutSeconds);

    [LoggerMessage(808, LogLevel.Information, "Drained within {DurationSeconds} s: {Aborted} connections were aborted, {LeftBehind} handlers are left behind.")]
    public static partial void Drained(ILogger logger, double durationSeconds, int aborted, int leftBehind);

    [LoggerMessage(809, LogLevel.Information,
        "The buffers of all connections hold at most {Bytes} bytes before reading pauses (0: no limit). Set ByteStreams:MaxBufferedBytes for another number.")]
    public static partial void BufferLimitSet(ILogger logger, long bytes);

    [LoggerMessage(820, LogLevel.Information, "Now listening on: {Address} (endpoint \"{Endpoint}\").")]
    public static partial void Listening(ILogger logger, string address, string endpoint);

    [LoggerMessage(821, LogLevel.Warning,
        "The configuration section '{Section}' does not exist or is empty, so that no endpoint is loaded from it. {Hint}")]
    public static partial void SectionMissing(ILogger logger, string section, string hint);

    [LoggerMessage(804, LogLevel.Error, "The changed configuration could not be read; what ran before goes on.")]
    public static partial void ReloadFailed(ILogger logger, Exception error);
}
