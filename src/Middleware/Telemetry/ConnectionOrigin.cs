namespace ByteStreams.Telemetry;

/// <summary>What the connections that one middleware sees have in common, so that each of them carries one reference to it.</summary>
/// <param name="Endpoint">Their endpoint's counts.</param>
/// <param name="Handler">The name of what serves them; null where nobody gave it one.</param>
/// <param name="Time">The clock of their timestamps.</param>
/// <param name="LogEmpty">Whether connections without a received byte are logged as others.</param>
internal sealed record ConnectionOrigin(EndpointTelemetry Endpoint, string? Handler, TimeProvider Time, bool LogEmpty);
