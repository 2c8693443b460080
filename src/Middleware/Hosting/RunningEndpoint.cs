namespace ByteStreams.Hosting;

/// <summary>A running endpoint.</summary>
/// <param name="Definition">Its definition.</param>
/// <param name="Server">Its server.</param>
internal sealed record RunningEndpoint(EndpointDefinition Definition, ByteStreamServer Server);
