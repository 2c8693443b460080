using ByteStreams.Testing;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>The ports of a host on 127.0.0.1.</summary>
/// <param name="Clients">The port of the byte-stream endpoint.</param>
/// <param name="Http">The HTTP port of readiness and metrics.</param>
/// <param name="Silo">The silo port.</param>
internal sealed record HostPorts(int Clients, int Http, int Silo)
{
    /// <summary>Reserves free ports below 32768, the start of the ephemeral port range.</summary>
    public static HostPorts Free() => new(Ports.Free(), Ports.Free(), Ports.Free());
}
