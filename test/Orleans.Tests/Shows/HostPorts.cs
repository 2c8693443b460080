using ByteStreams.Testing;

namespace ByteStreams.Cluster.Tests.Shows;

/// <summary>The ports of a host on 127.0.0.1.</summary>
/// <param name="Clients">Its byte-stream endpoint.</param>
/// <param name="Http">Its readiness and metrics.</param>
/// <param name="Silo">Where the other hosts connect to.</param>
internal sealed record HostPorts(int Clients, int Http, int Silo)
{
    /// <summary>Free ports below 32768, from where on the system hands out ports.</summary>
    public static HostPorts Free() => new(Ports.Free(), Ports.Free(), Ports.Free());
}
