namespace ByteStreams.Connections;

/// <summary>Reports the connections of one endpoint when they have closed. Telemetry implements it; each connection refers to it.</summary>
/// <param name="counters">The endpoint's counters.</param>
/// <param name="handlerName">The name of the endpoint's handler; null where it has none.</param>
/// <param name="time">The clock of the connections' timestamps.</param>
/// <param name="logsEmptyConnections">Whether connections without a received byte are logged as others are.</param>
internal abstract class ConnectionReporter(EndpointCounters counters, string? handlerName, TimeProvider time, bool logsEmptyConnections)
{
    public EndpointCounters Counters => counters;

    public string? HandlerName => handlerName;

    public TimeProvider Time => time;

    public bool LogsEmptyConnections => logsEmptyConnections;

    /// <summary>Reports a connection that has closed. Called once.</summary>
    public abstract void Report(ConnectionState connection);
}
