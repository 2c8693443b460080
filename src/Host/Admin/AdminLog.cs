namespace StreamsHost.Admin;

/// <summary>What the HTTP side logs. Ids 920 to 929.</summary>
internal static partial class AdminLog
{
    [LoggerMessage(924, LogLevel.Information, "The status page, health and metrics are at {Address}")]
    public static partial void Listening(ILogger logger, string address);

    [LoggerMessage(920, LogLevel.Warning,
        "Admin:AllowChanges is true and {Url} can be reached from other machines: whoever reaches it can drain the host and end connections.")]
    public static partial void ChangesFromAfar(ILogger logger, string url);

    [LoggerMessage(921, LogLevel.Warning, "An operator at {Client} has begun to drain the host.")]
    public static partial void Draining(ILogger logger, string client);

    [LoggerMessage(922, LogLevel.Warning, "An operator at {Client} has ended connection {ConnectionId} of endpoint {Endpoint}.")]
    public static partial void ConnectionEnded(ILogger logger, string client, string connectionId, string endpoint);

    [LoggerMessage(923, LogLevel.Information, "A request of {Client} was refused: {Reason}")]
    public static partial void Refused(ILogger logger, string client, string reason);

    [LoggerMessage(925, LogLevel.Warning,
        "The HTTP side has {Most} connections, as many as it may have. For a new one, the one that has been idle longest is closed; {Count} times since the last such line.")]
    public static partial void ConnectionLimit(ILogger logger, int most, long count);
}
