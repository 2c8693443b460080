using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Connections;

/// <summary>Logs every line at Debug.</summary>
internal sealed class DebugLogger(ILogger logger) : ILogger
{
    /// <summary>
    /// The logger for the end of a connection: at Debug where the peer has sent nothing and the endpoint does not log empty connections.
    /// </summary>
    public static ILogger For(ConnectionContext connection, ILogger logger) =>
        ConnectionState.Get(connection) is ConnectionState state ? For(state, logger) : logger;

    /// <summary>As <see cref="For(ConnectionContext, ILogger)"/>.</summary>
    public static ILogger For(ConnectionState connection, ILogger logger) =>
        connection is { Reporter.LogsEmptyConnections: false, Link.BytesReceived: 0 } ? new DebugLogger(logger) : logger;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => logger.BeginScope(state);

    public bool IsEnabled(LogLevel logLevel) => logger.IsEnabled(LogLevel.Debug);

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        logger.Log(LogLevel.Debug, eventId, state, exception, formatter);
}
