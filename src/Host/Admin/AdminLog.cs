namespace StreamsHost.Admin;

/// <summary>Log messages of the HTTP side. Ids 920 to 929.</summary>
internal static partial class AdminLog
{
    [LoggerMessage(924, LogLevel.Information, "The status page, health checks and metrics are at {Address}")]
    public static partial void Listening(ILogger logger, string address);

    [LoggerMessage(920, LogLevel.Warning,
        "Admin:AllowChanges is true and {Url} can be reached from other machines: every client there can drain the host and abort connections.")]
    public static partial void ChangesFromAfar(ILogger logger, string url);

    [LoggerMessage(921, LogLevel.Warning, "An operator at {Client} started to drain the host.")]
    public static partial void Draining(ILogger logger, string client);

    [LoggerMessage(922, LogLevel.Warning, "An operator at {Client} aborted connection {ConnectionId} of endpoint {Endpoint}.")]
    public static partial void ConnectionEnded(ILogger logger, string client, string connectionId, string endpoint);

    [LoggerMessage(923, LogLevel.Information, "A request from {Client} was refused: {Reason}")]
    public static partial void Refused(ILogger logger, string client, string reason);

    [LoggerMessage(925, LogLevel.Warning,
        "The HTTP side has reached its limit of {Most} connections; each new connection closes the one that has been idle longest: {Count} times since the last such message.")]
    public static partial void ConnectionLimit(ILogger logger, int most, long count);
}
