namespace ByteStreams.Hosting;

/// <summary>An endpoint that is served.</summary>
/// <param name="Plan">What it runs by.</param>
/// <param name="Server">What serves it.</param>
internal sealed record RunningEndpoint(EndpointPlan Plan, ByteStreamServer Server);
