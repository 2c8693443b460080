using Microsoft.Extensions.Logging;

namespace ByteStreams.Pooling;

/// <summary>What is logged of clients; ids 1200 to 1299.</summary>
internal static partial class PoolLog
{
    [LoggerMessage(1200, LogLevel.Debug, "Client {Client}: connected to {Address} in {Milliseconds:0.###} ms.")]
    public static partial void Connected(ILogger logger, string client, string address, double milliseconds);

    [LoggerMessage(1201, LogLevel.Warning, "Client {Client}: connect to {Address} failed: {Reason}")]
    public static partial void ConnectFailed(ILogger logger, string client, string address, string reason);

    [LoggerMessage(1202, LogLevel.Debug, "Client {Client}: connection closed: {Reason}.")]
    public static partial void Closed(ILogger logger, string client, string reason);

    [LoggerMessage(1203, LogLevel.Debug, "Client {Client}: the health check of an idle connection failed.")]
    public static partial void HealthCheckFailed(ILogger logger, Exception? error, string client);

    [LoggerMessage(1204, LogLevel.Warning, "Client {Client}: connection middleware failed while a connection was closed.")]
    public static partial void CloseFailed(ILogger logger, Exception error, string client);
}
